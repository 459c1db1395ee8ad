"""The question before something is done, in a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys


def answer_with(text: bytes, *arguments: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "gpudoctor", *arguments],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, text)
    out, _ = asking.communicate(timeout=30)
    os.close(ours)
    return asking.returncode, out


def test_no_is_an_answer_and_not_an_interruption():
    child = subprocess.Popen(["sleep", "60"])
    try:
        code, out = answer_with(b"n\n", "kill", str(child.pid))
        assert code == 1
        assert "Nothing was done." in out
        assert "interrupted" not in out
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()

"""A real `gpudoctor serve` on a free port, for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager


class Served:
    """A running daemon: its process, its address, and how to ask it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()

    def wait_for(self, text: str, path: str = "metrics", seconds: float = 20) -> str:
        until = time.monotonic() + seconds
        while text not in (body := self.get(path)):
            assert time.monotonic() < until, f"{text} did not come; last: {body[-2000:]}"
            time.sleep(0.05)
        return body

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """The exit code, and the seconds that the end took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(10)
        return code, time.monotonic() - begun


@contextmanager
def serving(
    *arguments: str, root: tuple[str, ...] = ("--demo",), env: dict[str, str] | None = None
) -> Iterator[Served]:
    command = [sys.executable, "-m", "gpudoctor", *root, "serve", "--listen", "127.0.0.1:0"]
    # Never into the history of whoever runs the tests.
    recording = [] if "--history" in arguments else ["--no-history"]
    process = subprocess.Popen(
        [*command, *recording, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )
    assert process.stderr is not None
    told = ""
    try:
        for line in process.stderr:
            told += line
            if found := re.search(r"Serving on (http\S+)", line):
                yield Served(process, found[1])
                return
        raise AssertionError(f"the daemon did not start: {told}")
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()

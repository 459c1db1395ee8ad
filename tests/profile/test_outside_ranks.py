"""py-spy beside the ranks of a job: each calls in by its name, and nobody else is let in."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

from gpudoctor.profile import outside, reach
from gpudoctor.profile.launcher import Collect
from gpudoctor.profile.outside_ranks import RanksOutside
from gpudoctor.profile.ranks import load_ranks
from gpudoctor.profile.torchrun import launch_ranks

JOB = """\
import os, time
until = time.time() + 1.5
while time.time() < until:
    sum(range(100_000 + int(os.environ["RANK"])))
"""


def call(address: str, words: bytes) -> bytes:
    """What is answered to `words`; b"" where the line is cut."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect("\0" + address)
        line.sendall(words)
        try:
            return line.recv(1)
        except ConnectionResetError:  # not all of our words had been read
            return b""


@pytest.mark.parametrize("words", [b"rank\n", b"../x\n", b"rank1/../..\n", b"x" * 64, b"\xff\n"])
def test_who_is_no_rank_is_sent_away(words, tmp_path: Path):
    beside = RanksOutside(tmp_path)
    address = beside.open()
    try:
        assert call(address, words) == b""
    finally:
        beside.ended()
    assert beside.why_not == "no rank called in"
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_cannot_be_looked_at_is_told_so_and_named(tmp_path: Path, monkeypatch):
    for module in (outside, reach):
        monkeypatch.setattr(module, "search_path", lambda: str(tmp_path))
    beside = RanksOutside(tmp_path)
    address = beside.open()
    try:
        assert call(address, b"rank3\nr") == b"n"
    finally:
        beside.ended()
    assert beside.why_not is not None
    assert beside.why_not.startswith("rank 3: ")
    assert "not installed" in beside.why_not


def test_nothing_listens_any_more_when_the_job_has_ended(tmp_path: Path):
    beside, threads = RanksOutside(tmp_path), set(threading.enumerate())
    address = beside.open()
    (listening,) = set(threading.enumerate()) - threads
    beside.ended()
    listening.join(20)
    assert not listening.is_alive()
    with pytest.raises(ConnectionRefusedError):
        call(address, b"rank0\n")


@pytest.mark.integration
def test_each_ranks_stacks_are_py_spys(tmp_path: Path):
    if shutil.which("py-spy", path=reach.search_path()) is None:
        pytest.skip("py-spy is not installed")
    script, out = tmp_path / "job.py", tmp_path / "out"
    script.write_text(JOB)
    out.mkdir()
    beside = RanksOutside(out)
    code = launch_ranks(
        sys.executable,
        ["--standalone", "--nproc-per-node", "2", "--", str(script)],
        out,
        Collect(ranks=True, interval_seconds=0.005),
        outside=beside,
    )
    assert (code, beside.why_not) == (0, None)
    seen = load_ranks(out)
    assert [one.rank for one in seen.ranks] == [0, 1]
    for rank, profile in enumerate(seen.profiles):
        assert profile.lines[0].source_line == f"{script}:4"
        session = json.loads((out / f"rank{rank}" / "session.json").read_text())
        # One look in 10 ms: from inside it would be the runner's own interval.
        assert session["samples"]["interval_seconds"] == 0.01
        recording = json.loads((out / f"rank{rank}" / outside.FILE).read_text())
        assert any(f"{session['pid']}" in thread["name"] for thread in recording["profiles"])

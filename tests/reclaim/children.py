"""Real processes for tests: each is told to have begun, and none outlives its test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpudoctor.host.proc_files import read_stat
from gpudoctor.model.ending import Target

PROC = Path("/proc")
# A worker of torchrun that outlives its launcher.
_ABANDONED = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
more = {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0"}
os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, **more})
"""


class Nursery:
    """Starts programs and ends whatever of them is left, also what they left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[str]] = []
        self._others: list[tuple[int, int]] = []

    def python(self, code: str, *, python: str = sys.executable, **options) -> int:
        """A python that runs `code`, which must print one line when it is ready."""
        return self.run([python, "-u", "-c", code], **options)

    def run(self, command: list[str], **options) -> int:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self._children.append(child)
        assert child.stdout is not None
        self.said = child.stdout.readline().strip()
        assert self.said, f"{command} said nothing"
        return child.pid

    def adopt(self, pid: int) -> int:
        """Takes over a process that a child of ours left behind."""
        stat = read_stat(PROC, pid)
        assert stat is not None
        self._others.append((pid, stat.start_ticks))
        return pid

    def orphan(self) -> int:
        """A worker of torchrun whose launcher has ended: what gpudoctor calls left over."""
        launcher = self.run([sys.executable, "-c", _ABANDONED])
        pid = self.adopt(int(self.said))
        # Until the launcher is gone the worker is its child.
        until(lambda: (stat := read_stat(PROC, pid)) and stat.parent_pid != launcher)
        return pid

    def child(self, pid: int) -> subprocess.Popen[str]:
        return next(one for one in self._children if one.pid == pid)

    def close(self) -> None:
        for pid, ticks in self._others:
            stat = read_stat(PROC, pid)
            if stat is not None and stat.start_ticks == ticks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for child in self._children:
            child.kill()
            child.wait(10)
            if child.stdout is not None:
                child.stdout.close()


@contextlib.contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    made = Nursery(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Nursery]:
    with nursery(tmp_path) as made:
        yield made


def target(pid: int, **changes) -> Target:
    stat = read_stat(PROC, pid)
    assert stat is not None
    return Target(**({"pid": pid, "start_ticks": stat.start_ticks, "name": stat.name} | changes))


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def state_of(pid: int) -> str | None:
    stat = read_stat(PROC, pid)
    return stat.state if stat else None

"""Runs one child at a time in a process group of its own, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

import gpudoctor

RUNNER = Path(gpudoctor.__file__).parent / "runner" / "bench"
_TAIL_CHARACTERS = 4000
_POLL_S = 0.02
# How long a program that was asked to stop may take to put its things away.
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `result` is what it wrote; `tail` the end of what it printed."""

    code: int | None
    result: Mapping[str, Any] | None
    tail: str
    timed_out: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts the runner in the target interpreter. `folder` is scratch for results and logs."""

    python: str
    environ: Mapping[str, str]
    folder: Path
    cwd: str | None = None

    def run(
        self,
        part: str,
        options: Mapping[str, Any],
        arguments: Sequence[str] = (),
        *,
        timeout_s: float,
        environ: Mapping[str, str] | None = None,
    ) -> Ended:
        """One run of `runner/bench PART OPTIONS ARGUMENTS`, killed with all its children at the end."""
        result, log = self.folder / "result.json", self.folder / "output.log"
        result.unlink(missing_ok=True)
        written = json.dumps({**options, "result": str(result)})
        begun = time.monotonic()
        with log.open("wb") as output:
            child = subprocess.Popen(
                [self.python, str(RUNNER), part, written, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env={**self.environ, **(environ or {})},
                start_new_session=True,
            )
            try:
                timed_out = _wait(child.pid, timeout_s, result)
            finally:
                _end(child)
        seconds = time.monotonic() - begun
        return Ended(child.returncode, _read(result), _tail(log), timed_out, seconds)


def _wait(pid: int, timeout_s: float, result: Path) -> bool:
    """Waits without reaping, so that the group's id cannot be reused; whether time ran out."""
    until = time.monotonic() + timeout_s
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = time.monotonic()
        if now >= until:
            return True
        if until - now > GRACE_S and result.exists():
            until = now + GRACE_S
        time.sleep(_POLL_S)
    return False


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(result: Path) -> Mapping[str, Any] | None:
    try:
        read = json.loads(result.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL_CHARACTERS))
        return file.read().decode(errors="replace").strip()


@contextlib.contextmanager
def launcher(python: str, environ: Mapping[str, str], cwd: str | None = None) -> Iterator[Launcher]:
    """A launcher with its scratch folder. SIGTERM and SIGHUP end it as Ctrl-C does, children first."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    # What is ignored (nohup) stays ignored.
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        with TemporaryDirectory(prefix="gpudoctor-bench-") as folder:
            yield Launcher(python, environ, Path(folder), cwd)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

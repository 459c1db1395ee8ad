"""A gpudoctor command that runs as a child process while the screen lives on. No painting.

The child leads a process group of its own. It ends, with all that it started, when it is stopped, when
the UI ends, and when the UI is killed; each time it is first asked to by SIGINT, so that it can write
what it has.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol

# Runs in the child: the kernel interrupts it when the thread that started it is gone.
_ENTRY = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 2)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit(130)
from gpudoctor.__main__ import main
main()
"""
# A trace of a long window takes its time to be written.
PATIENCE_S = 20.0
_AFTER_TERM_S = 3.0
_POLL_S = 0.05
_MOST_LINES = 500
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_LINE = 64 * 1024


class Tail:
    """The last lines of what was written; of a line that was written over, what it came to say."""

    def __init__(self, most: int = _MOST_LINES) -> None:
        self._lines: deque[str] = deque(maxlen=most)
        self._rest = b""
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        with self._lock:
            *whole, rest = (self._rest + data).split(b"\n")
            self._lines.extend(_last_state(one) for one in whole)
            self._rest = rest[-_LONGEST_LINE:]

    def lines(self) -> list[str]:
        """The lines so far, the unfinished one included."""
        with self._lock:
            return [*self._lines, *([_last_state(self._rest)] if self._rest else [])]


def _last_state(written: bytes) -> str:
    parts = [part for part in written.split(b"\r") if part]
    return parts[-1].decode("utf-8", "replace") if parts else ""


class Errand:
    """One command. `started` is the clock at its start; None: it has not begun."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.arguments = tuple(arguments)
        self.talk = Tail()
        self.code: int | None = None
        self.failure: str | None = None
        self.stopped = False
        self._cwd = cwd
        self._environ = {**os.environ, **(environ or {})}
        self._data = bytearray()
        self._begun = self._ended_at = 0.0
        self._child: subprocess.Popen[bytes] | None = None
        self._ready, self._over = threading.Event(), threading.Event()
        self._stopping: float | None = None

    def start(self) -> None:
        """Begins; what cannot be started is over at once, with `failure`."""
        self._begun = time.monotonic()
        # The thread that starts the child must live as long as it does: see _ENTRY.
        threading.Thread(target=self._run, name="errand", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether it and all that it started have ended."""
        return self._over.is_set()

    @property
    def seconds(self) -> float:
        """How long it has run, or did."""
        if not self._begun:
            return 0.0
        return (self._ended_at or time.monotonic()) - self._begun

    @property
    def output(self) -> bytes:
        """What it printed as its result; complete only when it is over."""
        return bytes(self._data)

    def stop(self) -> None:
        """Asks it to end; asked a second time it has no more patience. Returns at once."""
        if self.over:
            return
        self.stopped = True
        hurry = self._stopping is not None
        self._stopping = 0.0 if hurry else time.monotonic() + PATIENCE_S
        if not hurry and self._ready.wait(1.0) and self._child is not None:
            self._send(self._child, signal.SIGINT)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it was over within so many seconds."""
        return self._over.wait(seconds)

    def _run(self) -> None:
        try:
            self._child = child = subprocess.Popen(
                [sys.executable, "-P", "-c", _ENTRY, str(os.getpid()), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._cwd,
                env=self._environ,
                start_new_session=True,
            )
        except OSError as error:
            self.failure = f"it cannot be started: {error.strerror}"
            self._ready.set()
            self._over.set()
            return
        self._ready.set()
        readers = [
            threading.Thread(target=_read, args=(pipe, take), daemon=True)
            for pipe, take in ((child.stdout, self._collect), (child.stderr, self.talk.feed))
        ]
        for reader in readers:
            reader.start()
        self._attend(child)
        # What it started may hold the other ends of the pipes.
        for reader in readers:
            reader.join(1.0)
        self._ended_at = time.monotonic()
        self._over.set()

    def _attend(self, child: subprocess.Popen[bytes]) -> None:
        """Waits without reaping, so that the group's id cannot be another's when it is killed."""
        termed = False
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            late = 0.0 if self._stopping is None else time.monotonic() - self._stopping
            if late > 0 and not termed:
                termed = True
                self._stopping = time.monotonic()
                self._send(child, signal.SIGTERM)
            elif termed and late > _AFTER_TERM_S:
                break
            time.sleep(_POLL_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        self.code = child.wait()

    @staticmethod
    def _send(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
        # To it alone: it passes the signal on to what it has started.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    def _collect(self, data: bytes) -> None:
        self._data += data[: max(0, _MOST_BYTES - len(self._data))]


def _read(pipe: IO[bytes] | None, take: Callable[[bytes], None]) -> None:
    if pipe is None:
        return
    with pipe:
        while data := os.read(pipe.fileno(), 65536):
            take(data)


class Errands:
    """All that one application has under way."""

    def __init__(self) -> None:
        self._known: list[Errand] = []

    def begin(self, errand: Errand) -> Errand:
        """Starts it and remembers it until it is over."""
        self._known = [one for one in self._known if not one.over] + [errand]
        errand.start()
        return errand

    @property
    def under_way(self) -> tuple[Errand, ...]:
        """Those that are not over."""
        return tuple(one for one in self._known if not one.over)

    def end(self) -> None:
        """Stops all and waits until nothing of them is left. Never to be called in the painting thread."""
        running = self.under_way
        for one in running:
            if not one.stopped:
                one.stop()
        try:
            for one in running:
                one.wait()
        except KeyboardInterrupt:
            for one in running:
                one.stop()
                one.wait(2 * _AFTER_TERM_S)


class HasErrands(Protocol):
    """An application that runs errands, and ends them when it ends."""

    errands: Errands

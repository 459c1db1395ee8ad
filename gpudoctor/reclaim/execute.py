"""The only sender of signals. Each goes through a pidfd, right after the identity was checked."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.host.proc_files import Stat, read_stat, read_text
from gpudoctor.model.ending import Ending, Outcome, Target

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: a signal, and how many seconds it is given to work."""

    signal: signal.Signals
    grace_s: float


LADDER = (
    Step(signal.SIGINT, 5.0),
    Step(signal.SIGTERM, 10.0),
    Step(signal.SIGKILL, 10.0),
)


class _Held:
    """A target held by a pidfd, so that its pid cannot come to mean another process."""

    def __init__(self, target: Target, root: Path) -> None:
        self.target = target
        self._root = root
        self._begun = time.monotonic()
        self._sent: list[str] = []
        self.ending: Ending | None = None
        self.fd = -1
        try:
            self.fd = os.pidfd_open(target.pid)
        except ProcessLookupError:
            self.finish(Outcome.GONE)
            return
        except OSError as error:
            # Without a pidfd (Linux before 5.3) a signal could hit whoever got the pid meanwhile.
            self.finish(Outcome.FORBIDDEN, f"pidfd_open: {error.strerror}")
            return
        self._check()

    def _check(self) -> Stat | None:
        # The order matters: only a start time that is read after the pidfd was opened proves it.
        stat = read_stat(self._root, self.target.pid)
        if stat is None:
            self.finish(Outcome.ENDED if self._sent else Outcome.GONE)
        elif stat.start_ticks != self.target.start_ticks and self._sent:
            self.finish(Outcome.ENDED)
            return None
        elif stat.start_ticks != self.target.start_ticks:
            self.finish(Outcome.REUSED, f"pid {self.target.pid} is now {stat.name}")
            return None
        return stat

    def send(self, wanted: signal.Signals) -> None:
        """Sends one signal, if this still is the process that was meant, and wakes it when stopped."""
        if self.ending is not None or self.ended():
            return
        stat = self._check()
        if stat is None:
            return
        try:
            signal.pidfd_send_signal(self.fd, wanted)
            self._sent.append(wanted.name)
            if stat.state == "T":
                # A stopped process gets to see no signal but SIGKILL until it is woken.
                signal.pidfd_send_signal(self.fd, signal.SIGCONT)
        except ProcessLookupError:
            self.finish(Outcome.ENDED if self._sent else Outcome.GONE)
        except PermissionError as error:
            self.finish(Outcome.FORBIDDEN, error.strerror)

    def ended(self, wait_s: float = 0.0) -> bool:
        """Whether the process is gone, waiting for it up to `wait_s`."""
        if self.ending is not None:
            return True
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        if poller.poll(max(0.0, wait_s) * 1000):
            self.finish(Outcome.ENDED if self._sent else Outcome.GONE)
            return True
        return False

    def give_up(self) -> None:
        """Notes why the process is still there after the last signal."""
        if self.ended():
            return
        where = _kernel_wait(self._root, self.target.pid)
        if where is not None:
            self.finish(Outcome.STUCK, f"state D in {where}: no signal arrives there")
        else:
            self.finish(Outcome.SURVIVED)

    def finish(self, outcome: Outcome, detail: str | None = None) -> None:
        """Notes the end, once, and lets go of the pidfd."""
        if self.ending is None:
            took = time.monotonic() - self._begun
            self.ending = Ending(self.target.pid, outcome, tuple(self._sent), took, detail)
            if self.fd >= 0:
                with contextlib.suppress(OSError):
                    os.close(self.fd)


def end(
    targets: Sequence[Target], ladder: Sequence[Step] = LADDER, *, root: Path = PROC
) -> tuple[Ending, ...]:
    """Ends `targets`, wave by wave; within a wave all get a signal together and share its grace.

    Targets of a later wave that are only to be ended if left are first given the time to follow.
    """
    endings: list[Ending] = []
    for wave in sorted({target.wave for target in targets}):
        held = [_Held(target, root) for target in targets if target.wave == wave]
        _follow(held)
        for step in ladder:
            for one in held:
                one.send(step.signal)
            if _all_ended(held, step.grace_s):
                break
        for one in held:
            one.give_up()
        endings += [one.ending for one in held if one.ending is not None]
    return tuple(endings)


FOLLOW_S = 2.0


def _follow(held: Sequence[_Held]) -> None:
    if held and all(one.target.only_if_left for one in held):
        _all_ended(held, FOLLOW_S)


def _all_ended(held: Sequence[_Held], grace_s: float) -> bool:
    until = time.monotonic() + grace_s
    return all(one.ended(until - time.monotonic()) for one in held)


def _kernel_wait(root: Path, pid: int) -> str | None:
    """Where a thread of `pid` waits inside the kernel, or None when none does."""
    try:
        threads = list((root / str(pid) / "task").iterdir())
    except OSError:
        return None
    for thread in threads:
        text = read_text(thread / "stat")
        if text and text.rpartition(")")[2].split()[:1] == ["D"]:
            return read_text(thread / "wchan") or "an unknown place"
    return None

"""What is to be ended, what became of it, and how much memory came back."""

from __future__ import annotations

from enum import StrEnum

from gpudoctor.model.values import Value


class Outcome(StrEnum):
    """How the attempt to end one process went.

    ENDED: gone after a signal of ours. GONE: it was gone before. REUSED: its pid is another
    process's by now, which got no signal. FORBIDDEN: the kernel refused the signal. SURVIVED: it
    got every signal and still runs. STUCK: it waits inside the kernel, where no signal arrives.
    """

    ENDED = "ended"
    GONE = "gone"
    REUSED = "reused"
    FORBIDDEN = "forbidden"
    SURVIVED = "survived"
    STUCK = "stuck"


class Target(Value, frozen=True):
    """A process that is to be ended; `start_ticks` (field 22 of its stat) tells it from a later one.

    `wave` orders the ending: launchers come before what they launched. `only_if_left` marks a
    descendant that is touched only if it outlives the process above it.
    """

    pid: int
    start_ticks: int
    name: str
    command: tuple[str, ...] = ()
    user: str | None = None
    uid: int | None = None
    memory_used_bytes: int | None = None
    stopped: bool = False
    wave: int = 0
    only_if_left: bool = False
    note: str | None = None


class Ending(Value, frozen=True):
    """What became of one target: the signals that it got, in order, and how long it took."""

    pid: int
    outcome: Outcome
    signals: tuple[str, ...]
    seconds: float
    detail: str | None = None


class MemoryReturn(Value, frozen=True):
    """Memory in use on one GPU before and after. `still_listed` are pids that the driver names yet."""

    index: int
    uuid: str
    before_bytes: int | None
    after_bytes: int | None
    freed_bytes: int | None
    still_listed: tuple[int, ...] = ()
    held_open_by: tuple[int, ...] = ()


class KillReport(Value, frozen=True):
    """The whole of one `gpudoctor kill`. Without a driver `memory` is empty."""

    dry_run: bool
    targets: tuple[Target, ...]
    endings: tuple[Ending, ...] = ()
    memory: tuple[MemoryReturn, ...] = ()
    waited_seconds: float | None = None

"""What parking a process, or bringing it back, did."""

from __future__ import annotations

from enum import StrEnum

from gpudoctor.model.condition import Condition
from gpudoctor.model.ending import MemoryReturn
from gpudoctor.model.values import Value


class ParkOutcome(StrEnum):
    """How it went for one process.

    PARKED: its GPU memory is in host memory. RUNNING: it is back, or it never left. PLANNED: only
    looked at. REFUSED: a condition stands in the way; nothing was called. LOCKED: its CUDA calls
    are blocked and neither way out worked. UNKNOWN: the driver did not answer in time. GONE: it
    ended before anything was done, or its pid is another's. DIED: it ended while it was done.
    """

    PARKED = "parked"
    RUNNING = "running"
    PLANNED = "planned"
    REFUSED = "refused"
    LOCKED = "locked"
    UNKNOWN = "unknown"
    GONE = "gone"
    DIED = "died"


class ParkResult(Value, frozen=True):
    """What became of one process, with the conditions that were looked at before."""

    pid: int
    name: str
    outcome: ParkOutcome
    command: tuple[str, ...] = ()
    user: str | None = None
    memory_used_bytes: int | None = None
    conditions: tuple[Condition, ...] = ()
    seconds: float | None = None
    detail: str | None = None
    hint: str | None = None


class ParkReport(Value, frozen=True):
    """The whole of one `gpudoctor park` or `unpark` (`action`)."""

    action: str
    dry_run: bool
    results: tuple[ParkResult, ...]
    memory: tuple[MemoryReturn, ...] = ()

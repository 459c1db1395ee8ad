"""What became of a visit inside another process, and what the visit to its cache gave back."""

from __future__ import annotations

from enum import StrEnum

from gpudoctor.model.values import Value


class VisitEnd(StrEnum):
    """DONE: it ran. CANCELLED: it never began and never will. UNFINISHED: it began and goes on yet."""

    DONE = "done"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"


class Visit(Value, frozen=True):
    """`answer` is the text that the code left; `stopped_seconds` how long a thread stood still."""

    pid: int
    end: VisitEnd
    answer: str | None
    seconds: float
    stopped_seconds: float
    way: str | None = None


class CacheOnDevice(Value, frozen=True):
    """What torch's allocator held of one device, in bytes, before and after."""

    device: int
    reserved_before_bytes: int
    allocated_before_bytes: int
    reserved_after_bytes: int
    allocated_after_bytes: int


class Audit(Value, frozen=True):
    """When (seconds since the epoch) and by whom a process was entered, and the file that keeps it.

    `start_ticks` (field 22 of its stat) says which process the pid was; `file` is None where the line
    could not be written.
    """

    at: float
    uid: int
    start_ticks: int | None
    file: str | None


class CacheReport(Value, frozen=True):
    """One `gpudoctor empty-cache`.

    `status` is "emptied", "nothing" (torch or CUDA not in use there), "refused", "failed",
    "cancelled" or "unfinished"; `detail` says why in words. `driver_freed_bytes` is what the driver
    saw come back, None where it does not tell. `way` is "agent", "thread" or "pending call".
    """

    pid: int
    status: str
    detail: str | None
    seconds: float
    stopped_seconds: float
    python_version: str | None = None
    torch_version: str | None = None
    backend: str | None = None
    devices: tuple[CacheOnDevice, ...] = ()
    driver_freed_bytes: int | None = None
    way: str | None = None
    audit: Audit | None = None

    @property
    def released_bytes(self) -> int:
        """How much torch gave back to the driver, by its own count."""
        return sum(one.reserved_before_bytes - one.reserved_after_bytes for one in self.devices)

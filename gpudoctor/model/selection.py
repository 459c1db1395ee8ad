"""Which processes to show and in which order, and the memory that no process owns up to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gpudoctor.model.parked import Parked
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.model.values import Value

# A driver uses some memory that it charges to no process; less than this says nothing. The value is
# this project's choice, not NVIDIA's.
UNLISTED_FROM_BYTES = 1024**3


class Holder(Value, frozen=True):
    """A process that has a GPU open although the driver does not list it there."""

    pid: int
    name: str
    command: tuple[str, ...] = ()
    user: str | None = None


class Unlisted(Value, frozen=True):
    """Memory of one GPU that is used although no listed process holds it.

    `holders` have the GPU open and may be who holds it; None where nobody looked. `all_seen` is
    False where other users' open files are closed to us.
    """

    index: int
    uuid: str
    memory_used_bytes: int
    holders: tuple[Holder, ...] | None = None
    all_seen: bool = False


def select(
    rows: Iterable[GpuProcess],
    *,
    users: tuple[str, ...] = (),
    gpus: tuple[int, ...] = (),
    name: str | None = None,
    sort: str = "gpu",
) -> tuple[GpuProcess, ...]:
    """The rows of these users, on these GPUs, with `name` in their command; the largest value first.

    Rows without the value come last. `sort` is a key of SORTS.
    """
    kept = [row for row in rows if matches(row, users, gpus, name)]
    by, largest_first = SORTS[sort]
    known = [row for row in kept if by(row) is not None]
    rest = [row for row in kept if by(row) is None]
    return (*sorted(known, key=by, reverse=largest_first), *rest)


def matches(
    row: GpuProcess | Parked, users: tuple[str, ...], gpus: tuple[int, ...], name: str | None
) -> bool:
    """Whether the row is one of these users', on one of these GPUs, with `name` in its command."""
    return (
        (not users or row.user in users)
        and (not gpus or any(use.index in gpus for use in row.gpus))
        and (name is None or name.lower() in (" ".join(row.command) or row.name or "").lower())
    )


def unlisted(snapshot: Snapshot) -> tuple[Unlisted, ...]:
    """GPUs with at least UNLISTED_FROM_BYTES more in use than their processes hold.

    A GPU with a process whose memory is not known says nothing here.
    """
    found = []
    for device in snapshot.devices:
        used = device.memory.used_bytes
        amounts = [
            use.memory_used_bytes
            for row in snapshot.processes
            for use in row.gpus
            if use.uuid == device.uuid
        ]
        if used is None or any(amount is None for amount in amounts):
            continue
        rest = used - sum(amount for amount in amounts if amount is not None)
        if rest >= UNLISTED_FROM_BYTES:
            found.append(Unlisted(device.index, device.uuid, rest))
    return tuple(found)


def sm_ratio(row: GpuProcess) -> float | None:
    """The largest share of an SM's time that the process has on one of its GPUs."""
    return max((use.sm_ratio for use in row.gpus if use.sm_ratio is not None), default=None)


def memory_ratio(row: GpuProcess) -> float | None:
    """The largest share of time in which the process read or wrote the memory of one of its GPUs."""
    return max((use.memory_ratio for use in row.gpus if use.memory_ratio is not None), default=None)


def _started(row: GpuProcess) -> float | None:
    return row.started


SORTS: dict[str, tuple[Callable[[GpuProcess], Any], bool]] = {
    "gpu": (lambda row: (row.gpus[0].index, row.pid), False),
    "memory": (lambda row: row.memory_used_bytes, True),
    "sm": (sm_ratio, True),
    "cpu": (lambda row: row.cpu_ratio, True),
    "host-memory": (lambda row: row.host_memory_used_bytes, True),
    "age": (_started, False),
    "pid": (lambda row: row.pid, False),
    "user": (lambda row: row.user, False),
}

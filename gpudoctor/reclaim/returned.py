"""Watches the driver until the memory of ended processes came back, or says who still holds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from gpudoctor.host.holders import holders, minors
from gpudoctor.model.ending import MemoryReturn
from gpudoctor.model.snapshot import Device, Snapshot

# Tens of GiB take the driver seconds to tear down after the process is gone.
PATIENCE_S = 5.0
_PAUSE_S = 0.25
_SETTLED_S = 0.5


def watch_memory(
    before: Snapshot,
    pids: Collection[int],
    see: Callable[[], Snapshot],
    *,
    patience_s: float = PATIENCE_S,
    stays: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[tuple[MemoryReturn, ...], float]:
    """What came back on each GPU that `pids` used, and after how many seconds that was known.

    `stays` tells that the processes live on, so that any amount may be all that comes back.
    """
    begun = time.monotonic()
    uuids = [use.uuid for row in before.processes if row.pid in pids for use in row.gpus]
    settled_at: float | None = None
    while True:
        after = see()
        elapsed = time.monotonic() - begun
        listed = any(_listed(after, uuid, pids) for uuid in uuids)
        if stays or listed or not _came_back(before, after, pids):
            settled_at = None
        elif settled_at is None:
            settled_at = elapsed
        done = settled_at is not None and elapsed - settled_at >= _SETTLED_S
        if done or elapsed >= patience_s or not uuids:
            break
        sleep(_PAUSE_S)
    took = elapsed if settled_at is None else settled_at
    return tuple(_return(before, after, uuid, pids) for uuid in dict.fromkeys(uuids)), took


def _came_back(before: Snapshot, after: Snapshot, pids: Collection[int]) -> bool:
    """Whether no GPU shows much more in use than it should without those processes."""
    for device in before.devices:
        then = after.device(device.uuid)
        held = _held(before, device.uuid, pids)
        if then is None or not held:
            continue
        used, now = device.memory.used_bytes, then.memory.used_bytes
        if used is not None and now is not None and used - now < 0.9 * held:
            return False
    return True


def _held(snapshot: Snapshot, uuid: str, pids: Collection[int]) -> int:
    return sum(
        use.memory_used_bytes or 0
        for row in snapshot.processes
        if row.pid in pids
        for use in row.gpus
        if use.uuid == uuid
    )


def _listed(snapshot: Snapshot, uuid: str, pids: Collection[int]) -> tuple[int, ...]:
    rows = (row for row in snapshot.processes if row.pid in pids)
    return tuple(row.pid for row in rows if any(use.uuid == uuid for use in row.gpus))


def _return(before: Snapshot, after: Snapshot, uuid: str, pids: Collection[int]) -> MemoryReturn:
    then, now = before.device(uuid), after.device(uuid)
    listed = _listed(after, uuid, pids)
    known = {row.pid for row in after.processes}
    open_by = _open(now) - known - set(pids) if listed and now is not None else set()
    used = then.memory.used_bytes if then else None
    left = now.memory.used_bytes if now else None
    return MemoryReturn(
        index=then.index if then else -1,
        uuid=uuid,
        before_bytes=used,
        after_bytes=left,
        freed_bytes=None if used is None or left is None else used - left,
        still_listed=listed,
        held_open_by=tuple(sorted(open_by)),
    )


def _open(device: Device) -> set[int]:
    number = device.facts.minor_number
    return {pid for pid, files in holders().items() if number is None or number in minors(files)}

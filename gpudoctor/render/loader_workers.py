"""A DataLoader's worker processes as words and as cells."""

from __future__ import annotations

from gpudoctor.model.profile import WorkerTime
from gpudoctor.units import count, duration, percent

TITLES = ("WORKER", "BATCHES", "BUSY", "BATCH", "COLLATE", "CPU", "NO CPU")
_BUSY = 0.8
_IDLE = 0.5


def in_words(workers: tuple[WorkerTime, ...]) -> str:
    """How busy the workers were, and what that says."""
    shares = [ratio for one in workers if (ratio := one.busy_ratio) is not None]
    if not shares:
        return "no batch was made"
    least, most = percent(min(shares)), percent(max(shares))
    how = f"busy {most}" if least == most else f"busy {least} to {most}"
    if min(shares) >= _BUSY:
        return f"{how} of the time, they are the limit"
    return f"{how} of the time, they wait for work" if max(shares) < _IDLE else f"{how} of the time"


def cells(worker: WorkerTime) -> tuple[str, ...]:
    """The cells under TITLES: a batch's time is the mean, shares are of the busy time."""
    busy, batches = worker.busy_seconds, worker.batches
    return (
        str(worker.worker) + ("" if worker.ended else " (gone)"),
        count(batches),
        percent(worker.busy_ratio),
        duration(busy / batches if batches else None),
        percent(_part(worker.collate_seconds, busy)),
        percent(_part(worker.cpu_seconds, busy)),
        percent(_part(worker.cpu_wait_seconds, busy)),
    )


def _part(seconds: float | None, whole: float) -> float | None:
    return None if seconds is None or whole <= 0 else min(1.0, seconds / whole)

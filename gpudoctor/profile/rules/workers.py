"""What a starving loader's worker processes were doing: they are the limit, or the way from them is."""

from __future__ import annotations

from gpudoctor.model.profile import LineTime, LoaderTime
from gpudoctor.units import duration, percent

BUSY = 0.8
IDLE = 0.5
# Of a worker's busy time: below it does not compute; above it wants a CPU that is not free.
COMPUTES = 0.5
CROWDED = 0.2


def ratios(loader: LoaderTime) -> list[float]:
    """The busy ratio of each worker that was asked for batches."""
    return [ratio for one in loader.workers if (ratio := one.busy_ratio) is not None]


def idle(loader: LoaderTime) -> bool:
    """Whether all workers mostly waited to be asked for a batch."""
    seen = ratios(loader)
    return bool(seen) and max(seen) < IDLE


def line(loader: LoaderTime) -> LineTime | None:
    """The line that costs the workers most, by the worker that was longest in its own."""
    lines = [one.line for one in loader.workers if one.line is not None]
    return max(lines, key=lambda one: one.total_seconds, default=None)


def line_ratio(loader: LoaderTime) -> float:
    """The part of the workers' busy time in that line."""
    slow, busy = line(loader), _busy(loader)
    if slow is None or not busy:
        return 0.0
    same = [one.line for one in loader.workers if one.line is not None]
    spent = sum(one.total_seconds for one in same if one.source_line == slow.source_line)
    return min(1.0, spent / busy)


def where(loader: LoaderTime, waited: str) -> tuple[str | None, tuple[str, ...]]:
    """The place to look at, and what was seen of the workers."""
    seen = ratios(loader)
    if not seen:
        return loader.source_line, (waited,)
    least, most = percent(min(seen)), percent(max(seen))
    number = len(loader.workers)
    how = "each busy" if number > 1 and least == most else "busy"
    shares = most if least == most else f"{least} to {most}"
    workers = f"{number} worker{'s' if number > 1 else ''} {how} {shares} of the time"
    slow, more = line(loader), tuple(filter(None, (_collating(loader),)))
    if slow is None or max(seen) < IDLE:
        return loader.source_line, (waited, workers, *more)
    spent = f"{percent(line_ratio(loader))} of that in this line, `{slow.text}`"
    return slow.source_line, (waited, workers, spent, *more)


def gain(loader: LoaderTime, hidden: float | None) -> float | None:
    """The most that the advice can save; `hidden` is what more workers can on the CPUs at hand."""
    seen = ratios(loader)
    if hidden is None or not seen or max(seen) < IDLE or not _computes(loader):
        return loader.wait_seconds
    return max(hidden, loader.wait_seconds * line_ratio(loader)) or None


def advice(loader: LoaderTime, have: str) -> str:
    """What to change. `have` names the CPUs that the script may use."""
    seen = ratios(loader)
    first = loader.first_wait_seconds > loader.wait_seconds / 2 and not loader.persistent_workers
    if first and loader.epochs > 1 and not (seen and min(seen) >= BUSY):
        return (
            "Most of it is the wait for each epoch's first batch: keep the workers with "
            "DataLoader(…, persistent_workers=True)."
        )
    if idle(loader):
        return (
            "The workers wait, too: what takes time is a batch's way to the main process. Hand over less "
            "(uint8 for float32, no lists of objects), or try pin_memory and a larger prefetch_factor."
        )
    if seen and max(seen) >= BUSY and min(seen) < IDLE:
        return (
            "The batches come in order, so that the worker with the costliest samples holds the others up: "
            "spread costly samples evenly, or raise prefetch_factor."
        )
    if not _computes(loader):
        return (
            "The workers mostly wait for something other than a CPU (disk, network, a lock): more "
            "num_workers help even without more CPU cores, and so does a cache."
        )
    if _crowded(loader):
        return (
            "Make loading one sample cheaper, or cache it: the workers already wait for a CPU"
            f"{have}, so that more num_workers do not help."
        )
    return (
        "Make loading one sample cheaper, or cache it; more num_workers help only while there are idle "
        f"CPU cores{have}."
    )


def _busy(loader: LoaderTime) -> float:
    return sum(one.busy_seconds for one in loader.workers)


def _computes(loader: LoaderTime) -> bool:
    used = sum(one.cpu_seconds + (one.cpu_wait_seconds or 0.0) for one in loader.workers)
    return used >= COMPUTES * _busy(loader)


def _crowded(loader: LoaderTime) -> bool:
    return sum(one.cpu_wait_seconds or 0.0 for one in loader.workers) >= CROWDED * _busy(loader)


def _collating(loader: LoaderTime) -> str | None:
    """How much of a batch is the joining of its samples, where that is much."""
    busy = _busy(loader)
    spent = sum(one.collate_seconds for one in loader.workers)
    if not busy or spent < busy / 3:
        return None
    return f"{percent(spent / busy)} of it in collate_fn, {duration(spent)}"

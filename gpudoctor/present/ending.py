"""What is said of processes that are to be ended, and of what became of them and of their memory."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gpudoctor.model.ending import Ending, KillReport, MemoryReturn, Outcome, Target
from gpudoctor.model.injection import CacheOnDevice, CacheReport
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.words import Words, line
from gpudoctor.units import data_size, duration, printable, text

_WORDS = {
    Outcome.ENDED: "ended",
    Outcome.GONE: "was gone already",
    Outcome.REUSED: "was gone already; its pid is another process's, which was left alone",
    Outcome.FORBIDDEN: "may not be ended by us",
    Outcome.SURVIVED: "is still there after the last signal",
    Outcome.STUCK: "cannot be ended",
}


def plan_lines(targets: Sequence[Target]) -> Iterator[Words]:
    """What will be ended, in order."""
    for target in targets:
        shown = shlex.join(target.command) if target.command else f"[{target.name}]"
        parts = [
            Cell(f"  {target.pid:>8}  ", Level.NOTICE),
            Cell(f"{printable(text(target.user))}  {data_size(target.memory_used_bytes)}  "),
            Cell(printable(shown)),
        ]
        if target.only_if_left:
            parts.append(Cell("  (only if it outlives the process above it)", Level.DIM))
        if target.stopped:
            parts.append(Cell("  (stopped: will be woken)", Level.DIM))
        yield tuple(parts)
        if target.note:
            yield line(f"            {target.note}", Level.WARN)


def report_lines(report: KillReport) -> Iterator[Words]:
    """What became of each process, and the memory that came back."""
    for ending in report.endings:
        yield _ended(ending)
    for gpu in report.memory:
        yield _memory(gpu, report.waited_seconds)
        yield from _held(gpu)


def _ended(ending: Ending) -> Words:
    words = f"{ending.pid}  {_WORDS[ending.outcome]}"
    if ending.signals:
        *before, last = ending.signals
        words += f" by {last} after {duration(ending.seconds)}"
        words += f" ({', '.join(before)} did not end it)" if before else ""
    if ending.detail:
        words += f": {ending.detail}"
    return line(words)


def _memory(gpu: MemoryReturn, waited: float | None) -> Words:
    name = f"GPU {gpu.index}: "
    freed = gpu.freed_bytes
    if freed is None:
        return line(f"{name}the driver does not tell how much memory came back")
    if freed <= 0:
        return line(f"{name}no memory came back within {duration(waited)}", Level.WARN)
    now = data_size(gpu.after_bytes)
    return line(
        f"{name}{data_size(freed)} came back after {duration(waited)}, {now} in use", Level.GOOD
    )


def _held(gpu: MemoryReturn) -> Iterator[Words]:
    if not gpu.still_listed:
        return
    pids = ", ".join(str(pid) for pid in gpu.still_listed)
    yield line(f"  the driver still lists {pids}", Level.WARN)
    if gpu.held_open_by:
        held = " ".join(str(pid) for pid in gpu.held_open_by)
        yield line(f"  these have the GPU open yet: {held}  (gpudoctor kill {held})", Level.WARN)


def cache_lines(report: CacheReport) -> Iterator[Words]:
    """What the process held before and after, and what the driver saw come back."""
    if report.status == "emptied":
        released = data_size(report.released_bytes)
        yield line(f"Process {report.pid} gave back {released}.", Level.GOOD)
    else:
        yield line(f"Process {report.pid}: {report.status}: {report.detail}", Level.WARN)
    for device in report.devices:
        yield _device(device)
    if report.driver_freed_bytes is not None:
        yield line(f"  The driver saw {data_size(report.driver_freed_bytes)} come back.")
    if report.way == "agent":
        yield line(f"  Its agent did it in {duration(report.seconds)}.")
    else:
        stopped = duration(report.stopped_seconds)
        yield line(f"  One thread stood still for {stopped}; all took {duration(report.seconds)}.")


def _device(one: CacheOnDevice) -> Words:
    before, after = data_size(one.reserved_before_bytes), data_size(one.reserved_after_bytes)
    live = data_size(one.allocated_after_bytes)
    return line(f"  cuda:{one.device}  reserved {before} -> {after}, {live} of it live tensors")

"""What `gpudoctor kill` says: the plan before it, and the report after it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.text import Text

from gpudoctor.model.ending import Ending, KillReport, MemoryReturn, Outcome, Target
from gpudoctor.render.text import safe
from gpudoctor.units import data_size, duration, text

_WORDS = {
    Outcome.ENDED: "ended",
    Outcome.GONE: "was gone already",
    Outcome.REUSED: "was gone already; its pid is another process's, which was left alone",
    Outcome.FORBIDDEN: "may not be ended by us",
    Outcome.SURVIVED: "is still there after the last signal",
    Outcome.STUCK: "cannot be ended",
}


def plan_lines(targets: Sequence[Target]) -> Iterator[Text]:
    """What will be ended, in order."""
    yield Text("To be ended:")
    for target in targets:
        line = Text(f"  {target.pid:>8}  ", style="bold")
        line.append_text(safe(text(target.user)))
        line.append(f"  {data_size(target.memory_used_bytes)}  ")
        line.append_text(safe(shlex.join(target.command) if target.command else f"[{target.name}]"))
        if target.only_if_left:
            line.append("  (only if it outlives the process above it)", style="dim")
        if target.stopped:
            line.append("  (stopped: will be woken)", style="dim")
        yield line
        if target.note:
            yield safe(f"            {target.note}", style="yellow")


def report_lines(report: KillReport) -> Iterator[Text]:
    """What became of each process, and the memory that came back."""
    if report.dry_run:
        yield from plan_lines(report.targets)
        yield Text("Nothing was ended (--dry-run).")
        return
    for ending in report.endings:
        yield _ended(ending)
    for gpu in report.memory:
        yield _memory(gpu, report.waited_seconds)
        yield from _held(gpu)


def _ended(ending: Ending) -> Text:
    line = Text(f"{ending.pid}  {_WORDS[ending.outcome]}")
    if ending.signals:
        line.append(f" by {', '.join(ending.signals)} after {duration(ending.seconds)}")
    if ending.detail:
        line.append_text(safe(f": {ending.detail}"))
    return line


def _memory(gpu: MemoryReturn, waited: float | None) -> Text:
    name = f"GPU {gpu.index}: "
    freed = gpu.freed_bytes
    if freed is None:
        return Text(f"{name}the driver does not tell how much memory came back")
    if freed <= 0:
        return Text(f"{name}no memory came back within {duration(waited)}", style="yellow")
    now = data_size(gpu.after_bytes)
    text = f"{name}{data_size(freed)} came back after {duration(waited)}, {now} in use"
    return Text(text, style="green")


def _held(gpu: MemoryReturn) -> Iterator[Text]:
    if not gpu.still_listed:
        return
    pids = ", ".join(str(pid) for pid in gpu.still_listed)
    yield Text(f"  the driver still lists {pids}", style="yellow")
    if gpu.held_open_by:
        held = " ".join(str(pid) for pid in gpu.held_open_by)
        yield Text(
            f"  these have the GPU open yet: {held}  (gpudoctor kill {held})", style="yellow"
        )

"""What `gpudoctor park` and `unpark` say."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.text import Text

from gpudoctor.model.condition import Standing
from gpudoctor.model.parking import ParkOutcome, ParkReport, ParkResult
from gpudoctor.render.conditions import condition_lines
from gpudoctor.render.text import safe
from gpudoctor.units import data_size, duration, text

_WORDS = {
    ParkOutcome.PARKED: ("is parked: its GPU memory is in host memory", "green"),
    ParkOutcome.RUNNING: ("runs on its GPUs", "green"),
    ParkOutcome.PLANNED: ("could be", ""),
    ParkOutcome.REFUSED: ("was left alone", "yellow"),
    ParkOutcome.LOCKED: ("is blocked in its CUDA calls", "red"),
    ParkOutcome.UNKNOWN: ("is in an unknown state", "red"),
    ParkOutcome.GONE: ("was gone already", "yellow"),
    ParkOutcome.DIED: ("died", "red"),
}


def plan_lines(results: Sequence[ParkResult]) -> Iterator[Text]:
    """The processes, with what is to be known before saying yes."""
    for one in results:
        yield _process(one)
        yield from condition_lines(c for c in one.conditions if c.standing is not Standing.OK)


def report_lines(report: ParkReport) -> Iterator[Text]:
    """What became of each process, and the memory that came back."""
    if not report.results:
        yield Text("No process is noted as parked.")
    for one in report.results:
        if report.dry_run or one.outcome is ParkOutcome.REFUSED:
            yield _process(one)
            yield from condition_lines(one.conditions)
            yield _verdict(one, report.action)
        else:
            yield from _done(one, report.action)
    for gpu in report.memory:
        if gpu.freed_bytes is None:
            yield Text(f"GPU {gpu.index}: the driver does not tell how much memory came back")
            continue
        now = data_size(gpu.after_bytes)
        yield Text(f"GPU {gpu.index}: {data_size(gpu.freed_bytes)} came back, {now} in use")


def _process(one: ParkResult) -> Text:
    line = Text(f"{one.pid:>8}  ", style="bold")
    line.append_text(safe(text(one.user)))
    line.append(f"  {data_size(one.memory_used_bytes)}  ")
    line.append_text(safe(shlex.join(one.command) if one.command else f"[{one.name}]"))
    return line


def _verdict(one: ParkResult, action: str) -> Text:
    done = {"park": "parked", "unpark": "brought back"}[action]
    if one.outcome is ParkOutcome.REFUSED:
        return Text(f"  It was not {done}: what is marked `no` stands in the way.", style="yellow")
    return Text(f"  It can be {done}. Nothing was done (--dry-run).")


def _done(one: ParkResult, action: str) -> Iterator[Text]:
    words, style = _WORDS[one.outcome]
    as_wished = {"park": ParkOutcome.PARKED, "unpark": ParkOutcome.RUNNING}[action]
    if one.outcome is ParkOutcome.RUNNING and action == "park":
        words, style = "was not parked and runs on unharmed", "yellow"
    elif one.outcome is ParkOutcome.PARKED and action == "unpark":
        words, style = "is parked yet", "yellow"
    line = Text(f"{one.pid}  {words}", style=style)
    if one.seconds is not None:
        line.append(f" after {duration(one.seconds)}")
    yield line
    if one.detail and one.outcome is not as_wished:
        yield safe(f"  {one.detail}")
    if one.hint and one.outcome is not as_wished:
        yield Text("  → ", style="dim") + safe(one.hint)
    if one.outcome is ParkOutcome.PARKED and action == "park":
        yield Text(f"  → gpudoctor unpark {one.pid} brings it back", style="dim")

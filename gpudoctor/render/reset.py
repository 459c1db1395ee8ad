"""What `gpudoctor reset` says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.text import Text

from gpudoctor.model.reset import Interrupted, ResetOutcome, ResetReport
from gpudoctor.render.conditions import condition_lines
from gpudoctor.render.text import safe
from gpudoctor.units import data_size, duration, text

_WORDS = {
    ResetOutcome.RESET: ("was reset; it answers, and asks for no recovery", "green"),
    ResetOutcome.NOT_RESET: ("was not reset", "red"),
    ResetOutcome.HUNG: ("may be in the middle of a reset", "red"),
    ResetOutcome.SICK: ("was reset, and is not well", "red"),
}


def plan_lines(report: ResetReport) -> Iterator[Text]:
    """The GPUs, what was looked at, what would be interrupted, and the commands."""
    for target in report.targets:
        line = Text(f"GPU {target.index}  ", style="bold")
        yield line + safe(f"{target.name}  {target.pci_bus_id}  {target.uuid}")
    yield from condition_lines(report.conditions)
    if report.interrupts:
        yield Text("A reset would interrupt:")
        for one in report.interrupts:
            yield _interrupted(one)
    yield Text("The commands (as root):")
    for command in report.commands:
        yield safe(f"  {command}")


def report_lines(report: ResetReport) -> Iterator[Text]:
    """What was found, or what became of it."""
    if report.outcome is ResetOutcome.CHECKED:
        yield from plan_lines(report)
        target = report.targets[0].index
        yield Text(f"Nothing stands in the way. To do it: gpudoctor reset {target} --run")
        return
    if report.outcome is ResetOutcome.REFUSED:
        yield from plan_lines(report)
        yield Text("Nothing was run: what is marked `no` stands in the way.", style="yellow")
        return
    words, style = _WORDS[report.outcome]
    names = ", ".join(str(target.index) for target in report.targets)
    yield Text(f"GPU {names} {words} (after {duration(report.seconds)})", style=style)
    if report.detail:
        yield safe(f"  {report.detail}")
    if report.output and report.outcome is not ResetOutcome.RESET:
        for said in report.output.splitlines():
            yield Text("  nvidia-smi: ", style="dim") + safe(said)
    if report.hint:
        yield Text("  → ", style="dim") + safe(report.hint)


def _interrupted(one: Interrupted) -> Text:
    line = Text(f"  {one.pid:>8}  ", style="bold")
    line.append_text(safe(text(one.user)))
    line.append(f"  {data_size(one.memory_used_bytes)}  ")
    return line + safe(shlex.join(one.command) if one.command else f"[{one.name}]")

"""The report of `gpudoctor orphans`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from gpudoctor.model.orphan import Orphan, Verdict, Weight
from gpudoctor.render.text import safe
from gpudoctor.units import UNKNOWN, data_size, duration, text

_VERDICT_STYLE = {Verdict.ORPHAN: "bold red", Verdict.SUSPECT: "yellow", Verdict.IN_USE: "green"}
_MARKS = {
    Weight.HIGH: "!!",
    Weight.MEDIUM: " !",
    Weight.AGAINST: " +",
    Weight.CAUTION: " ?",
    Weight.NOTE: "  ",
}


def report(
    shown: Sequence[Orphan], in_use: int, watched_seconds: float
) -> Iterator[RenderableType]:
    """One block for each process, then a line that sums up."""
    for one in shown:
        yield from _block(one)
        yield Text("")
    yield Text(_sum(shown, in_use, watched_seconds), style="dim" if not shown else "")


def _block(one: Orphan) -> Iterator[RenderableType]:
    head = Text(f"{one.verdict!s:<8}", style=_VERDICT_STYLE[one.verdict])
    gpus = ", ".join(str(index) for index in one.gpus) or UNKNOWN
    head.append(f" pid {one.pid}  ", style="bold")
    head.append_text(safe(text(one.user)))
    head.append(f"  {data_size(one.memory_used_bytes)} on GPU {gpus}  ")
    head.append_text(safe(shlex.join(one.command) if one.command else f"[{text(one.name)}]"))
    yield head
    for reason in one.reasons:
        line = Text(f"     {_MARKS[reason.weight]} ")
        line.append_text(safe(reason.text))
        line.append_text(safe(f"  ({reason.evidence})", style="dim"))
        yield line
    for offer in one.offers:
        line = Text("     -> ")
        line.append_text(safe(offer.command, style="cyan"))
        line.append_text(safe(f"  {offer.text}"))
        yield line


def _sum(shown: Sequence[Orphan], in_use: int, watched_seconds: float) -> str:
    numbers = [
        (sum(one.verdict is verdict for one in shown), verdict)
        for verdict in (Verdict.ORPHAN, Verdict.SUSPECT)
    ]
    counts = [f"{number} {verdict}{'' if number == 1 else 's'}" for number, verdict in numbers]
    known = [one.memory_used_bytes for one in shown if one.verdict is Verdict.ORPHAN]
    amounts = [amount for amount in known if amount is not None]
    back = f"; {data_size(sum(amounts))} would come back from the orphans" if amounts else ""
    watched = f"; watched for {duration(watched_seconds)}"
    if not watched_seconds and in_use:
        # Without a second look nobody can be suspected of doing nothing.
        watched = "; not watched, so only what is certain is named"
    return f"{', '.join(counts)}, {in_use} in use{back}{watched}."

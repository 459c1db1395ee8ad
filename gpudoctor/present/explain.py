"""The verdict on one process in full: every reason with what was read, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor import units
from gpudoctor.model.orphan import Orphan, Reason, Verdict, Weight
from gpudoctor.model.process import GpuProcess
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.processes import command_line
from gpudoctor.present.verdicts import verdict_level
from gpudoctor.present.words import Words, line

_MEANINGS = {
    Verdict.ORPHAN: "nobody is left that waits for it",
    Verdict.SUSPECT: "it may be left over",
    Verdict.IN_USE: "nothing says that it is left over",
}
_WEIGHTS = {
    Weight.HIGH: ("speaks for it", Level.BAD),
    Weight.MEDIUM: ("hints at it", Level.WARN),
    Weight.AGAINST: ("speaks against", Level.GOOD),
    Weight.CAUTION: ("be careful", Level.NOTICE),
    Weight.NOTE: ("note", Level.DIM),
}
_ORDER = tuple(_WEIGHTS)
_LABEL = 16


def explanation(
    process: GpuProcess, judged: Orphan | None, *, settled: bool = True
) -> Iterator[Words]:
    """Why the process is, may be, or is not left over. None: it has not been judged yet.

    `settled` is whether it was watched for long enough to see that it does nothing.
    """
    yield line(f"{process.pid}  {command_line(process)}", Level.NOTICE)
    yield line("")
    if judged is None:
        yield line("It has not been judged yet: the processes are looked at every few seconds.")
        return
    if not settled and judged.verdict is Verdict.IN_USE:
        # Of what may still turn out to do nothing, "in use" would be said too early.
        yield (
            Cell("Left over?  "),
            Cell("judging", Level.DIM),
            Cell(": it is watched for 30 s, to see whether it does anything"),
        )
    else:
        yield (
            Cell("Left over?  "),
            Cell(judged.verdict.value, verdict_level(judged)),
            Cell(f": {_meaning(judged)}"),
        )
    yield line("")
    for reason in sorted(judged.reasons, key=lambda one: _ORDER.index(one.weight)):
        yield from _reason(reason)
    if not judged.reasons:
        yield line("No sign of it was found.", Level.DIM)
    if judged.offers:
        yield line("")
        yield line("What can be done", Level.NOTICE)
    for offer in judged.offers:
        yield (Cell(f"  {units.printable(offer.command)}"),)
        yield line(f"    {offer.text}", Level.DIM)


def _meaning(judged: Orphan) -> str:
    hinted = any(reason.weight in (Weight.HIGH, Weight.MEDIUM) for reason in judged.reasons)
    if judged.verdict is Verdict.IN_USE and hinted:
        return "the signs that it is left over do not outweigh the rest"
    return _MEANINGS[judged.verdict]


def weighed(weight: Weight) -> tuple[str, Level]:
    """What a reason of this weight does to the verdict, in words."""
    return _WEIGHTS[weight]


def _reason(reason: Reason) -> Iterator[Words]:
    label, level = weighed(reason.weight)
    yield (Cell(label.ljust(_LABEL), level), Cell(units.printable(reason.text)))
    if reason.evidence:
        yield line(f"{'':{_LABEL}}{reason.evidence}", Level.DIM)

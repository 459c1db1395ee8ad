"""What `gpudoctor kill` says: the plan before it, and the report after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from gpudoctor.model.ending import KillReport, Target
from gpudoctor.present import ending
from gpudoctor.present.cells import Level
from gpudoctor.present.words import Words

_STYLES = {
    Level.DIM: "dim",
    Level.GOOD: "green",
    Level.NOTICE: "bold",
    Level.WARN: "yellow",
    Level.BAD: "red",
}


def styled(words: Words) -> Text:
    """The line in the styles of the text output."""
    return Text.assemble(*((cell.text, _STYLES.get(cell.level, "")) for cell in words))


def plan_lines(targets: Sequence[Target]) -> Iterator[Text]:
    """What will be ended, in order."""
    yield Text("To be ended:")
    yield from map(styled, ending.plan_lines(targets))


def report_lines(report: KillReport) -> Iterator[Text]:
    """What became of each process, and the memory that came back."""
    if report.dry_run:
        yield from plan_lines(report.targets)
        yield Text("Nothing was ended (--dry-run).")
        return
    yield from map(styled, ending.report_lines(report))

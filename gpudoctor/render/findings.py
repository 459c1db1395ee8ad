"""Findings as text: the cause first, its consequences under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpudoctor.model.check import CheckReport, Outcome
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.present.findings import depths, summary
from gpudoctor.render.text import safe
from gpudoctor.units import printable

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_WIDTH = 9
_COMMAND = 4


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a finding. What does not fit is wrapped behind the label."""

    indent: int
    text: Text
    label: Text = field(default_factory=Text)
    copied: bool = False


def show(console: Console, report: CheckReport, *, verbose: bool = False) -> None:
    """Print the report to a terminal. `verbose` adds the sources and the checks that did not apply."""
    for finding, depth in zip(report.findings, depths(report.findings), strict=True):
        for line in _finding(finding, 2 * depth, verbose):
            _print(console, line)
        console.print()
    if verbose:
        for row in _not_applicable(report):
            console.print(row)
    console.print(Text(summary(report), style="bold"))


def _print(console: Console, line: _Line) -> None:
    if line.copied:
        # Not wrapped by us: the terminal's own wrapping adds no line break to what is copied.
        console.print(Text(" " * line.indent).append_text(line.text), soft_wrap=True)
    else:
        grid = Table.grid()
        grid.add_column(width=line.indent + len(line.label))
        grid.add_column()
        grid.add_row(Text(" " * line.indent).append_text(line.label), line.text)
        console.print(grid)


def plain(report: CheckReport, *, verbose: bool = False) -> str:
    """The same for a pipe or a file: no colours, no wrapping, nothing behind the end of a line."""
    lines: list[str] = []
    for finding, depth in zip(report.findings, depths(report.findings), strict=True):
        lines += [
            " " * line.indent + line.label.plain + line.text.plain
            for line in _finding(finding, 2 * depth, verbose)
        ]
        lines.append("")
    if verbose:
        lines += [line.plain for line in _not_applicable(report)]
    return "\n".join([*lines, summary(report)])


def _not_applicable(report: CheckReport) -> Iterator[Text]:
    for outcome in report.ended(Outcome.NOT_APPLICABLE):
        yield safe(f"not applicable  {outcome.id}: {outcome.reason}", "dim")


def _finding(finding: Finding, indent: int, verbose: bool) -> Iterator[_Line]:
    label = Text(finding.severity.label.ljust(_WIDTH), style=_STYLES[finding.severity])
    head = safe(f"{finding.subject}: ", "bold")
    # A base style would colour all that is appended.
    yield _Line(
        indent,
        Text()
        .append_text(head)
        .append_text(safe(finding.summary))
        .append(f"  [{finding.id}]", style="dim"),
        label,
    )
    below = indent + _WIDTH
    if finding.caused_by:
        yield _Line(below, Text(f"follows from {', '.join(finding.caused_by)}", style="dim"))
    for line in finding.evidence:
        yield _Line(below, safe(line, "dim"))
    if finding.fix:
        yield _Line(below, safe(finding.fix.text), Text("fix: ", style="green"))
        for command in finding.fix.commands:
            # No mark before a command: it is there to be copied.
            yield _Line(below + _COMMAND, Text(printable(command), style="bold"), copied=True)
    if verbose:
        for source in finding.sources:
            yield _Line(below, safe(source, "dim"), Text("source: ", style="dim"))

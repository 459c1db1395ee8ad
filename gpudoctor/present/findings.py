"""What all front ends say of findings: the cause first, its consequences under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpudoctor.model.check import CheckReport, Outcome
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.present.cells import Cell, Level, Row
from gpudoctor.present.columns import Column
from gpudoctor.present.words import Words, line
from gpudoctor.units import duration, printable

COLUMNS = (
    Column("severity", "LEVEL", 7),
    Column("subject", "WHAT", 10, grow=1, most=22),
    Column("summary", "FINDING", 30, grow=6),
)
_LEVELS = {
    Severity.ERROR: Level.BAD,
    Severity.WARNING: Level.WARN,
    Severity.INFO: Level.NOTICE,
}


def depths(findings: Iterable[Finding]) -> list[int]:
    """How deep each finding stands under its causes; 0 for a root cause."""
    depths: dict[str, int] = {}
    result = []
    for finding in findings:
        above = [depths[cause] for cause in finding.caused_by if cause in depths]
        depth = max(above) + 1 if above else 0
        depths.setdefault(finding.id, depth)
        result.append(depth)
    return result


def summary(report: CheckReport) -> str:
    """One line: what was found, how much was looked at, how long it took."""
    parts = []
    for severity in sorted(Severity, reverse=True):
        amount = sum(finding.severity is severity for finding in report.findings)
        if amount:
            word = "note" if severity is Severity.INFO else severity.label
            parts.append(f"{amount} {word}{'s' if amount > 1 else ''}")
    skipped = len(report.ended(Outcome.NOT_APPLICABLE))
    ran = len(report.checks) - skipped
    broken = len(report.ended(Outcome.CRASHED)) + len(report.ended(Outcome.TIMED_OUT))
    tail = f", {broken} did not end well" if broken else ""
    return (
        f"{', '.join(parts) or 'Nothing found'}: {ran} checks ran, {skipped} do not apply here"
        f"{tail} ({duration(report.duration_seconds)})"
    )


def finding_rows(report: CheckReport) -> list[Row]:
    """One row for each finding, those that follow from another moved to the right under it."""
    rows = []
    together = zip(report.findings, depths(report.findings), strict=True)
    for number, (finding, depth) in enumerate(together):
        level = _LEVELS[finding.severity]
        cells = (
            Cell(finding.severity.label, level),
            Cell(printable(finding.subject)),
            Cell("  " * depth + printable(finding.summary)),
        )
        rows.append(Row(str(number), cells))
    return rows


def finding_lines(finding: Finding) -> Iterator[Words]:
    """One finding in full: what it follows from, what was seen, what to do, who says so."""
    label = Cell(f"{finding.severity.label}  ", _LEVELS[finding.severity])
    yield (label, Cell(printable(finding.subject), Level.NOTICE), Cell(f"  [{finding.id}]"))
    yield line(finding.summary)
    if finding.caused_by:
        yield line(f"follows from {', '.join(finding.caused_by)}", Level.DIM)
    yield from (line(f"  {text}", Level.DIM) for text in finding.evidence)
    if finding.fix:
        yield line("")
        yield (Cell("fix: ", Level.GOOD), Cell(printable(finding.fix.text)))
        yield from (line(f"    {command}", Level.NOTICE) for command in finding.fix.commands)
    if finding.sources:
        yield line("")
        yield from (line(f"source: {source}", Level.DIM) for source in finding.sources)


def fix_text(finding: Finding) -> str | None:
    """What to copy: the commands that do it, else the words that say it."""
    if finding.fix is None:
        return None
    return "\n".join(finding.fix.commands) or finding.fix.text

"""Findings as text and as Markdown: the cause first, its consequences under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gpudoctor.model.check import CheckReport, Outcome
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.render.text import safe
from gpudoctor.units import duration

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_WIDTH = 9


def text(report: CheckReport, *, verbose: bool = False) -> Iterator[RenderableType]:
    """The report for a terminal. `verbose` adds the sources and the checks that did not apply."""
    depths = _depths(report.findings)
    for finding, depth in zip(report.findings, depths, strict=True):
        yield Padding(_finding(finding, depth, verbose), (0, 0, 1, 2 * depth), expand=False)
    if verbose:
        for outcome in report.ended(Outcome.NOT_APPLICABLE):
            yield Text(f"not applicable  {outcome.id}: {outcome.reason}", style="dim")
    yield Text(summary(report), style="bold")


def _depths(findings: Iterable[Finding]) -> list[int]:
    """How deep each finding stands under its causes; 0 for a root cause."""
    depths: dict[str, int] = {}
    result = []
    for finding in findings:
        above = [depths[cause] for cause in finding.caused_by if cause in depths]
        depth = max(above) + 1 if above else 0
        depths.setdefault(finding.id, depth)
        result.append(depth)
    return result


def _finding(finding: Finding, depth: int, verbose: bool) -> RenderableType:
    head = Text(finding.severity.label.ljust(_WIDTH), style=_STYLES[finding.severity])
    head.append_text(safe(f"{finding.subject}: ", "bold"))
    head.append_text(safe(finding.summary))
    head.append(f"  [{finding.id}]", style="dim")
    lines: list[RenderableType] = []
    if depth:
        lines.append(Text(f"follows from {', '.join(finding.caused_by)}", style="dim"))
    lines += [safe(line, "dim") for line in finding.evidence]
    if finding.fix:
        lines.append(Text("fix: ", style="green").append_text(safe(finding.fix.text)))
        # No mark before a command and no wrapping: it is there to be copied.
        lines += [
            Padding(
                Text(command, style="bold", no_wrap=True, overflow="ignore"),
                (0, 0, 0, 4),
                expand=False,
            )
            for command in finding.fix.commands
        ]
    if verbose:
        lines += [safe(f"source: {source}", "dim") for source in finding.sources]
    return Group(head, Padding(Group(*lines), (0, 0, 0, _WIDTH), expand=False))


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


def markdown(report: CheckReport) -> str:
    """The report to be pasted into an issue."""
    lines = ["## gpudoctor check", "", summary(report), ""]
    for finding, depth in zip(report.findings, _depths(report.findings), strict=True):
        indent = "  " * depth
        lines.append(
            f"{indent}- **{finding.severity.label}** {finding.subject}: {finding.summary} "
            f"(`{finding.id}`)"
        )
        lines += [f"{indent}  - {line}" for line in finding.evidence]
        if finding.fix:
            lines.append(f"{indent}  - Fix: {finding.fix.text}")
            lines += [f"{indent}    - `{command}`" for command in finding.fix.commands]
    return "\n".join(lines).rstrip() + "\n"

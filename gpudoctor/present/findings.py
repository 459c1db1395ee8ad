"""What all front ends say of findings: the cause first, its consequences under it."""

from __future__ import annotations

from collections.abc import Iterable

from gpudoctor.model.check import CheckReport, Outcome
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.units import duration


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

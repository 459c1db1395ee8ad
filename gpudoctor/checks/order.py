"""Causes before their consequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpudoctor.checks.registry import Check
from gpudoctor.model.finding import Finding


def ordered(findings: Sequence[Finding], checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """The findings with `caused_by` set: root causes first, the severest first, consequences after
    the first of their causes."""
    linked = [_linked(finding, findings, checks) for finding in findings]
    result: list[Finding] = []
    waiting = sorted(linked, key=_rank)
    roots = [finding for finding in waiting if not finding.caused_by]
    for root in roots:
        _append(root, waiting, result)
    # What is left could only be a ring of causes, which the registry's test rules out.
    result += [finding for finding in waiting if finding not in result]
    return tuple(result)


def _append(finding: Finding, waiting: list[Finding], result: list[Finding]) -> None:
    if finding in result:
        return
    result.append(finding)
    for other in waiting:
        if finding.id in other.caused_by and _related(finding, other):
            _append(other, waiting, result)


def _rank(finding: Finding) -> tuple[int, str, str]:
    return -finding.severity, finding.id, finding.subject


def _linked(finding: Finding, findings: Sequence[Finding], checks: Mapping[str, Check]) -> Finding:
    check = checks.get(finding.id)
    if check is None:
        return finding
    causes = [
        other.id
        for other in findings
        if other.id in check.after and other is not finding and _related(other, finding)
    ]
    return replace(finding, caused_by=tuple(dict.fromkeys((*finding.caused_by, *causes))))


def _related(cause: Finding, consequence: Finding) -> bool:
    """A fault of one GPU explains nothing on another GPU; a fault of the machine explains both."""
    if cause.subject.startswith("GPU ") and consequence.subject.startswith("GPU "):
        return cause.subject == consequence.subject
    return True

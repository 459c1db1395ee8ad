"""What the checks found, in one remark: the worst of it by name."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from gpudoctor import units
from gpudoctor.model.check import Inspected
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.present.cells import Level
from gpudoctor.present.remarks import Remark

_LEVELS = {Severity.ERROR: Level.BAD, Severity.WARNING: Level.WARN}


def from_findings(findings: Iterable[Finding]) -> tuple[Remark, ...]:
    """The worst of what a check of this machine found; nothing where it is only worth knowing."""
    return _remark([(one.severity, f"{one.subject}: {one.summary}") for one in findings])


def with_told(own: tuple[Finding, ...], told: Inspected | None) -> tuple[Finding, ...]:
    """`own`, and after it what only a daemon found, which may see more; it says so."""
    if told is None:
        return own
    known = {(one.id, one.subject) for one in own}
    return own + tuple(
        _by_daemon(one, told) for one in told.findings if (one.id, one.subject) not in known
    )


def _by_daemon(finding: Finding, told: Inspected) -> Finding:
    when = time.strftime("%H:%M:%S", time.localtime(told.generated_at.timestamp()))
    return replace(
        finding,
        summary=f"{finding.summary} (by the daemon)",
        evidence=(
            *finding.evidence,
            f"found by the daemon at {when}, and not by a check from here",
        ),
    )


def _remark(found: list[tuple[Severity, str]]) -> tuple[Remark, ...]:
    serious = [one for one in found if one[0] in _LEVELS]
    if not serious:
        return ()
    severity, text = max(serious, key=lambda one: one[0].rank)
    more = f" (+{len(serious) - 1} more)" if len(serious) > 1 else ""
    return (Remark(_LEVELS[severity], units.printable(f"check (E): {text}{more}")),)

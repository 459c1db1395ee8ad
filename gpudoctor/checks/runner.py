"""Runs checks side by side. One that crashes or hangs is itself reported, and the rest go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from gpudoctor.checks.context import NEEDS, CheckContext, NotReportedError
from gpudoctor.checks.order import ordered
from gpudoctor.checks.registry import Check
from gpudoctor.model.check import CheckOutcome, CheckReport, Outcome
from gpudoctor.model.finding import Finding, Fix, Severity

LIMIT_S = 3.0
_THREADS = 4
_REPORT_IT = Fix("This is a fault of gpudoctor or of a plugin, not of your machine. Report it.")
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """The queue of checks, and what has come of them. The threads share it."""

    waiting: SimpleQueue[Check]
    ended: SimpleQueue[tuple[CheckOutcome, tuple[Finding, ...]]]
    running: dict[str, float] = field(default_factory=dict)


def run_checks(
    checks: Sequence[Check], ctx: CheckContext, *, limit_s: float = LIMIT_S
) -> CheckReport:
    """Run `checks` on what was gathered. Takes at most a little over `limit_s` seconds."""
    begun = time.monotonic()
    work = _Work(SimpleQueue(), SimpleQueue())
    for check in checks:
        work.waiting.put(check)
    for number in range(min(_THREADS, len(checks))):
        threading.Thread(
            target=_worker, args=(work, ctx), name=f"check-{number}", daemon=True
        ).start()
    outcomes, findings = _collect(work, checks, begun + limit_s)
    return CheckReport(
        findings=ordered(findings, {check.id: check for check in checks}),
        checks=tuple(sorted(outcomes, key=lambda outcome: outcome.id)),
        duration_seconds=time.monotonic() - begun,
    )


def run_one(check: Check, ctx: CheckContext) -> tuple[CheckOutcome, tuple[Finding, ...]]:
    """Run one check in this thread."""
    begun = time.monotonic()
    try:
        for need in check.needs:
            NEEDS[need](ctx)
        findings = tuple(_signed(found, check) for found in check.run(ctx))
        ended, reason = (Outcome.FOUND if findings else Outcome.OK), None
    except NotReportedError as error:
        findings, ended, reason = (), Outcome.NOT_APPLICABLE, str(error)
    except Exception as error:  # noqa: BLE001 - a broken check must not stop the others
        _LOG.debug("the check %s crashed", check.id, exc_info=True)
        reason = f"{type(error).__name__}: {error}"
        findings, ended = (_broken(check, f"the check crashed: {reason}"),), Outcome.CRASHED
    outcome = CheckOutcome(check.id, ended, time.monotonic() - begun, len(findings), reason)
    return outcome, findings


def _signed(finding: Finding, check: Check) -> Finding:
    return replace(finding, id=check.id, sources=finding.sources or check.sources)


def _worker(work: _Work, ctx: CheckContext) -> None:
    while True:
        try:
            check = work.waiting.get_nowait()
        except Empty:
            return
        work.running[check.id] = time.monotonic()
        work.ended.put(run_one(check, ctx))


def _collect(
    work: _Work, checks: Sequence[Check], until: float
) -> tuple[list[CheckOutcome], list[Finding]]:
    left = {check.id: check for check in checks}
    outcomes: list[CheckOutcome] = []
    findings: list[Finding] = []
    while left:
        try:
            outcome, found = work.ended.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        del left[outcome.id]
        outcomes.append(outcome)
        findings += found
    for check in left.values():
        seconds = time.monotonic() - work.running.get(check.id, time.monotonic())
        reason = f"no answer within {seconds:.1f} s"
        outcomes.append(CheckOutcome(check.id, Outcome.TIMED_OUT, seconds, 1, reason))
        findings.append(_broken(check, f"the check did not end: {reason}"))
    return outcomes, findings


def _broken(check: Check, text: str) -> Finding:
    return Finding(check.id, Severity.WARNING, "gpudoctor", text, fix=_REPORT_IT)

"""Metrics of what gpudoctor found: findings of the checks, and processes that are left over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from gpudoctor.model.check import Outcome
from gpudoctor.model.orphan import Orphan, Verdict
from gpudoctor.render.metrics.make import single
from gpudoctor.render.metrics.view import Metric, MetricGroup, Sample, View

_LEFT_OVER = (Verdict.ORPHAN, Verdict.SUSPECT)


def _findings(view: View) -> Iterator[Sample]:
    if view.inspection is not None:
        report = view.inspection.report
        found = Counter((finding.id, finding.severity.label) for finding in report.findings)
        yield from found.items()


def _outcomes(view: View) -> Iterator[Sample]:
    if view.inspection is not None:
        counts = Counter(check.outcome for check in view.inspection.report.checks)
        yield from (((outcome.value,), counts[outcome]) for outcome in Outcome)


def _left_over(view: View, verdict: Verdict) -> list[Orphan]:
    found = view.inspection.orphans if view.inspection else ()
    return [one for one in found if one.verdict is verdict]


def _counts(view: View) -> Iterator[Sample]:
    if view.inspection is not None:
        for verdict in _LEFT_OVER:
            yield (verdict.value,), len(_left_over(view, verdict))


def _memory(view: View) -> Iterator[Sample]:
    if view.inspection is not None:
        for verdict in _LEFT_OVER:
            held = sum(one.memory_used_bytes or 0 for one in _left_over(view, verdict))
            yield (verdict.value,), held


def _memory_by_user(view: View) -> Iterator[Sample]:
    held: dict[str, int] = defaultdict(int)
    for one in _left_over(view, Verdict.ORPHAN):
        held[one.user or "(unknown)"] += one.memory_used_bytes or 0
    ranked = sorted(held.items(), key=lambda row: -row[1])
    yield from (((user,), amount) for user, amount in ranked[:_MOST_USERS])


_MOST_USERS = 32
FINDINGS = MetricGroup(
    "Findings",
    (
        Metric(
            "gpudoctor_findings",
            "gauge",
            "What a check found; `gpudoctor check --explain CHECK` says what it means.",
            ("check", "severity"),
            _findings,
        ),
        Metric(
            "gpudoctor_checks",
            "gauge",
            "How the checks of the last inspection ended.",
            ("outcome",),
            _outcomes,
        ),
        Metric(
            "gpudoctor_orphans",
            "gauge",
            "Processes that are left over on GPUs (orphan), or may be (suspect).",
            ("verdict",),
            _counts,
        ),
        Metric(
            "gpudoctor_orphans_memory_bytes",
            "gauge",
            "GPU memory that processes hold which are left over, or may be.",
            ("verdict",),
            _memory,
        ),
        Metric(
            "gpudoctor_user_orphans_memory_bytes",
            "gauge",
            "GPU memory that a user's orphans hold; the 32 users with most.",
            ("user",),
            _memory_by_user,
        ),
        single(
            "inspection_timestamp_seconds",
            "When checks and processes were last looked at, seconds since the epoch.",
            lambda view: view.inspection.at if view.inspection else None,
        ),
        single(
            "inspection_duration_seconds",
            "How long that took.",
            lambda view: view.inspection.duration_seconds if view.inspection else None,
        ),
    ),
)

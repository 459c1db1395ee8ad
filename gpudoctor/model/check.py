"""What a run of the checks came to: the findings, and how each check ended."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from gpudoctor.model.finding import Finding, Severity


class Outcome(StrEnum):
    """How a check ended. NOT_APPLICABLE: a fact that it needs is not reported here."""

    OK = "ok"
    FOUND = "found"
    NOT_APPLICABLE = "not_applicable"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One check's run. `reason` says what was missing or what went wrong."""

    id: str
    outcome: Outcome
    duration_seconds: float
    findings: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings, causes before their consequences and the severest first, and all outcomes."""

    findings: tuple[Finding, ...]
    checks: tuple[CheckOutcome, ...]
    duration_seconds: float

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings; None where there is no finding."""
        return max((finding.severity for finding in self.findings), default=None)

    def ended(self, outcome: Outcome) -> tuple[CheckOutcome, ...]:
        """The checks that ended so."""
        return tuple(check for check in self.checks if check.outcome is outcome)


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a daemon answers who is asked for its findings; `generated_at` is when it looked."""

    schema: str
    generated_at: dt.datetime
    findings: tuple[Finding, ...]

"""What must hold before something risky is done, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from gpudoctor.model.values import Value


class Standing(StrEnum):
    """OK: holds. WARN: may fail or do harm. REFUSE: would fail or do harm. UNKNOWN: cannot be seen."""

    OK = "ok"
    WARN = "warn"
    REFUSE = "refuse"
    UNKNOWN = "unknown"


class Condition(Value, frozen=True):
    """One thing that was looked at: what was found, and what to do where it stands in the way."""

    id: str
    standing: Standing
    text: str
    hint: str | None = None


def refused(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Those that stand in the way."""
    return tuple(one for one in conditions if one.standing is Standing.REFUSE)

"""A finding: what is wrong, how one can see it, and what to do. Data, never a sentence to be parsed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad: INFO is worth knowing, WARNING costs something, ERROR breaks the job now.

    Compared by how bad, not by the alphabet.
    """

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def label(self) -> str:
        """The lower-case word for it."""
        return self.value

    @property
    def rank(self) -> int:
        """Its place among the severities, the least first."""
        return tuple(Severity).index(self)

    def __lt__(self, other: str) -> bool:
        return self.rank < Severity(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Severity(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Severity(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Severity(other).rank


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do: one text, and the commands that do it (empty where none can)."""

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnosis. `subject` names the thing (a GPU, a process, a package), `sources` back the claim."""

    id: str
    severity: Severity
    subject: str
    summary: str
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None
    sources: tuple[str, ...] = ()
    caused_by: tuple[str, ...] = field(default=())

"""A process on a GPU with a verdict: left over or not, why, and what can be done about it."""

from __future__ import annotations

from enum import StrEnum

from gpudoctor.model.process import ProcessKey
from gpudoctor.model.values import Value


class Verdict(StrEnum):
    """ORPHAN: nobody is left that waits for it. SUSPECT: it may be so. IN_USE: nothing speaks for it."""

    ORPHAN = "orphan"
    SUSPECT = "suspect"
    IN_USE = "in use"


class Weight(StrEnum):
    """How much a reason says alone.

    HIGH: enough. MEDIUM: counts when a second one, and no progress, stand beside it. AGAINST:
    somebody still has it in hand. CAUTION: it may be alive on purpose. NOTE: says nothing either way.
    """

    HIGH = "high"
    MEDIUM = "medium"
    AGAINST = "against"
    CAUTION = "caution"
    NOTE = "note"


class Reason(Value, frozen=True):
    """One signal: `text` says it in words, `evidence` is what was read and where."""

    id: str
    weight: Weight
    text: str
    evidence: str


class Offer(Value, frozen=True):
    """Something that would give memory back: `action` is a word, `command` what to type."""

    action: str
    command: str
    text: str


class Orphan(Value, frozen=True):
    """One holder of GPU memory, judged. `mine` is False where the process is another user's.

    `memory_used_bytes` is what comes back at most; None where the GPU does not tell.
    """

    pid: int
    key: ProcessKey
    verdict: Verdict
    reasons: tuple[Reason, ...]
    offers: tuple[Offer, ...]
    memory_used_bytes: int | None
    gpus: tuple[int, ...]
    name: str | None = None
    command: tuple[str, ...] = ()
    user: str | None = None
    uid: int | None = None
    mine: bool = True

"""What the checks found, in one remark: the worst of it by name."""

from __future__ import annotations

from collections.abc import Iterable

from gpudoctor import units
from gpudoctor.history.values import Note
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.present.cells import Level
from gpudoctor.present.remarks import Remark

_LEVELS = {Severity.ERROR: Level.BAD, Severity.WARNING: Level.WARN}
_OVER = ": no longer found"


def from_findings(findings: Iterable[Finding]) -> tuple[Remark, ...]:
    """The worst of what a check of this machine found; nothing where it is only worth knowing."""
    return _remark([(one.severity, f"{one.subject}: {one.summary}") for one in findings])


def from_notes(notes: Iterable[Note]) -> tuple[Remark, ...]:
    """The worst of what a daemon noted, oldest first, and has not noted to be over."""
    present: dict[str, Severity] = {}
    for note in notes:
        if note.kind != "finding":
            continue
        if note.ended:
            begins = note.text.removesuffix(_OVER) + ": "
            present = {text: one for text, one in present.items() if not text.startswith(begins)}
        elif note.severity in set(Severity):
            present[note.text] = Severity(note.severity)
    return _remark([(severity, text.partition(": ")[2]) for text, severity in present.items()])


def _remark(found: list[tuple[Severity, str]]) -> tuple[Remark, ...]:
    serious = [one for one in found if one[0] in _LEVELS]
    if not serious:
        return ()
    severity, text = max(serious, key=lambda one: one[0].rank)
    more = f" (+{len(serious) - 1} more)" if len(serious) > 1 else ""
    return (Remark(_LEVELS[severity], units.printable(f"check (E): {text}{more}")),)

"""What changed on the machine, as values: what is logged, and told to webhooks and commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from gpudoctor.checks.xid import judged
from gpudoctor.history.values import Note
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.snapshot import Device, GpuEvent
from gpudoctor.model.xids import in_words
from gpudoctor.units import age, data_size, printable


class Kind(StrEnum):
    """What sort of change it is. EVENT and RECLAIM are of a moment; the others last until they end."""

    GPU = "GpuSilent"
    EVENT = "GpuEvent"
    FINDING = "Finding"
    ORPHAN = "Orphan"
    RECLAIM = "Reclaim"


@dataclass(frozen=True, slots=True)
class Change:
    """One change at `at`, seconds since the epoch. `labels` tell it from all others of its kind.

    Where it is an end, `begun` is when it began.
    """

    at: float
    kind: Kind
    severity: Severity
    labels: tuple[tuple[str, str], ...]
    summary: str
    advice: str = ""
    ended: bool = False
    begun: float | None = None

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What the beginning and the end of the same thing have in common."""
        return self.kind, self.labels

    @property
    def lasts(self) -> bool:
        """Whether there will be an end to tell."""
        return self.kind not in (Kind.EVENT, Kind.RECLAIM)


Tell = Callable[[Change], None]


def silent(device: Device, at: float, *, ended: bool = False) -> Change:
    """A GPU stopped answering, or answers again."""
    name = f"GPU {device.index} ({device.uuid})"
    return Change(
        at,
        Kind.GPU,
        Severity.ERROR,
        (("gpu", str(device.index)), ("uuid", device.uuid)),
        f"{name} answers again" if ended else f"{name} is {device.state}: {device.error}",
        ended=ended,
    )


def event(found: GpuEvent, index: int | None) -> Change:
    """The driver told of an Xid or of another event."""
    where = found.uuid if index is None else f"GPU {index}"
    severity, advice = Severity.WARNING, ""
    told = printable(found.text)
    if found.kind == "xid":
        known, severity, advice = judged(found.code)
        told = in_words(found.code, told) or known
        told = f"Xid {found.code}" + (f", {told}" if told else "")
    else:
        told = f"{found.kind} {found.code} {told}".rstrip()
    labels = [("uuid", found.uuid), ("event", found.kind), ("code", str(found.code))]
    if index is not None:
        labels.insert(0, ("gpu", str(index)))
    return Change(found.at, Kind.EVENT, severity, tuple(labels), f"{where}: {told}", advice)


def finding(found: Finding, at: float, *, ended: bool = False) -> Change:
    """A check found something, or finds it no longer."""
    summary = "no longer found" if ended else printable(found.summary)
    return Change(
        at,
        Kind.FINDING,
        found.severity,
        (("check", found.id), ("subject", printable(found.subject))),
        f"{found.id}: {found.subject}: {summary}",
        printable(found.fix.text) if found.fix else "",
        ended,
    )


def orphan(found: Orphan, at: float, *, ended: bool = False) -> Change:
    """A process is left over on a GPU, or is so no longer."""
    where = ", ".join(str(index) for index in found.gpus)
    reasons = "; ".join(printable(reason.text) for reason in found.reasons)
    held = data_size(found.memory_used_bytes)
    who = f"orphan: pid {found.pid} of {found.user}"
    summary = (
        f"{who}: no longer left over" if ended else f"{who} holds {held} on GPU {where}: {reasons}"
    )
    return Change(
        at,
        Kind.ORPHAN,
        Severity.WARNING,
        (("gpu", where), ("pid", str(found.pid)), ("user", found.user or "")),
        summary,
        "; ".join(f"{offer.text} {offer.command}" for offer in found.offers),
        ended,
    )


def reclaimed(
    found: Orphan, mode: str, result: str, held_s: float, detail: str, at: float
) -> Change:
    """The reclaim policy ended a process, would have, or could not: with the evidence."""
    where = ", ".join(str(index) for index in found.gpus)
    evidence = "; ".join(
        printable(f"{reason.text} ({reason.evidence})") for reason in found.reasons
    )
    words = (
        f"reclaim ({mode}): {result} pid {found.pid} of {found.user}, left over for {age(held_s)}, "
        f"{data_size(found.memory_used_bytes)} on GPU {where}: {evidence}"
    )
    return Change(
        at,
        Kind.RECLAIM,
        Severity.WARNING,
        (("gpu", where), ("pid", str(found.pid)), ("user", found.user or ""), ("mode", mode)),
        (f"{words} [{printable(detail)}]" if detail else words)[:_LONGEST],
    )


_LONGEST = 2000
_KINDS = {
    Kind.GPU: "gpu",
    Kind.FINDING: "finding",
    Kind.ORPHAN: "orphan",
    Kind.RECLAIM: "reclaim",
}
_GPUS = re.compile(r"(?:GPU )?(\d+(?:, \d+)*)", re.ASCII)


def note(change: Change) -> Note | None:
    """The change for the flight recorder; None of an event, which it has from the samples."""
    kind = _KINDS.get(change.kind)
    if kind is None:
        return None
    labels = dict(change.labels)
    where = _GPUS.fullmatch(labels.get("gpu") or labels.get("subject", ""))
    name, pid = labels.get("check") or labels.get("mode", ""), labels.get("pid")
    prefix = f"reclaim ({name}): " if change.kind is Kind.RECLAIM else f"{name or kind}: "
    text = change.summary.removeprefix(prefix)
    return Note(
        change.at,
        kind,
        name,
        change.severity.value,
        text,
        change.ended,
        tuple(int(index) for index in where[1].split(", ")) if where else (),
        None if pid is None else int(pid),
    )

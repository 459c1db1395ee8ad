"""What a person should know of this machine first, worst first, read from one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gpudoctor import units
from gpudoctor.model.orphan import Verdict
from gpudoctor.model.snapshot import Device, DeviceState, GpuEvent, Snapshot
from gpudoctor.model.xids import XIDS
from gpudoctor.present.cells import Level
from gpudoctor.present.devices import clock_limit, users_by_uuid
from gpudoctor.present.verdicts import NO_VERDICTS, Verdicts, sentence, verdict_of

# An Xid is news for this long; the events screen keeps it.
_NEWS_SECONDS = 600.0
_HELD_BYTES = 1024**3
_RANK = {Level.BAD: 0, Level.WARN: 1, Level.NOTICE: 2}


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence on one GPU (or on the machine, where `uuid` is None)."""

    level: Level
    text: str
    uuid: str | None = None


def remarks(
    snapshot: Snapshot, verdicts: Verdicts = NO_VERDICTS, checked: Iterable[Remark] = ()
) -> tuple[Remark, ...]:
    """All remarks, the worst first; `verdicts` are those on processes that may be left over.

    `checked` is what the checks found when they last ran.
    """
    users = users_by_uuid(snapshot)
    found = list(_left_over(snapshot, verdicts))
    told = {remark.uuid for remark in found}
    for device in snapshot.devices:
        if device.state is not DeviceState.OK:
            found.append(_silent(device, snapshot.taken_at))
            continue
        found.extend(_health(device))
        found.extend(_speed(device))
        if device.uuid not in told:
            found.extend(_idle(device, users.get(device.uuid, ())))
    found.extend(_news(snapshot))
    found.extend(checked)
    return tuple(sorted(found, key=lambda remark: _RANK[remark.level]))


def event_text(event: GpuEvent, snapshot: Snapshot) -> str:
    """An event in words: what, where, and what NVIDIA's catalogue says of it."""
    device = snapshot.device(event.uuid)
    # An event of the machine as a whole names no GPU.
    where = f"GPU {device.index}: " if device else f"{event.uuid}: " if event.uuid else ""
    if event.kind != "xid":
        return f"{where}{event.kind} {event.code} {units.printable(event.text)}".rstrip()
    known = XIDS.get(event.code)
    meaning = f": {known.meaning}" if known else ""
    return f"{where}Xid {event.code}{meaning}"


def _silent(device: Device, now: float) -> Remark:
    silent = device.stale_since
    since = "" if silent is None else f" for {units.age(now - silent)}"
    if device.state is DeviceState.STALE:
        # Without an address it has never told anything.
        shown = "its last values are shown" if device.facts.pci_bus_id else "nothing is known of it"
        text = f"GPU {device.index} has not answered{since}; {shown}"
        return Remark(Level.WARN, text, device.uuid)
    if device.state is DeviceState.LOST:
        text = f"GPU {device.index} is lost{since}: the driver cannot reach it any more"
        return Remark(Level.BAD, text, device.uuid)
    cause = units.printable(device.error or "no reading succeeds")
    return Remark(Level.BAD, f"GPU {device.index} fails{since}: {cause}", device.uuid)


def _health(device: Device) -> Iterator[Remark]:
    health, name = device.health, f"GPU {device.index}"
    if health.ecc_uncorrected_volatile:
        many = units.count(health.ecc_uncorrected_volatile)
        yield Remark(
            Level.BAD,
            f"{name} has {many} uncorrected ECC errors since the driver was loaded",
            device.uuid,
        )
    if health.remap_failed:
        yield Remark(Level.BAD, f"{name} could not remap a faulty memory row", device.uuid)
    elif health.remap_pending or health.retired_pages_pending:
        yield Remark(
            Level.WARN, f"{name} takes faulty memory out of use at its next reset", device.uuid
        )
    if health.recovery_action not in (None, "none"):
        text = f"the driver recommends for {name}: {health.recovery_action}"
        yield Remark(Level.BAD, text, device.uuid)


def _speed(device: Device) -> Iterator[Remark]:
    word, level = clock_limit(device.clocks)
    if level is Level.BAD:
        why = {"slow: heat": "heat", "slow: brake": "the external power brake"}
        text = f"GPU {device.index} is slowed down by {why.get(word, 'its hardware')}"
        yield Remark(level, text + _clock_words(device), device.uuid)
    width, most = device.pcie.width, device.facts.pcie_width_max
    if width and most and width < most:
        text = f"GPU {device.index} has {width} PCIe lanes of {most}"
        yield Remark(Level.WARN, text, device.uuid)


def _clock_words(device: Device) -> str:
    now, most = device.clocks.sm_hertz, device.facts.sm_clock_max_hertz
    parts = []
    if device.thermal.gpu_celsius is not None:
        parts.append(units.celsius(device.thermal.gpu_celsius))
    if now is not None and most is not None:
        parts.append(f"{now / 1e6:.0f} of {most / 1e6:.0f} MHz")
    return f": {', '.join(parts)}" if parts else ""


def _left_over(snapshot: Snapshot, verdicts: Verdicts) -> Iterator[Remark]:
    for process in snapshot.processes:
        judged = verdict_of(process, verdicts)
        if judged is not None:
            uuid = process.gpus[0].uuid if process.gpus else None
            level = Level.WARN if judged.verdict is Verdict.ORPHAN else Level.NOTICE
            yield Remark(level, sentence(judged), uuid)


def _idle(device: Device, users: tuple[str, ...]) -> Iterator[Remark]:
    used, busy = device.memory.used_bytes, device.utilization.gpu_ratio
    if users and busy == 0 and used is not None and used > _HELD_BYTES:
        who = ", ".join(units.printable(name) for name in users[:3])
        text = f"GPU {device.index} is idle while {who} holds {units.data_size(used)} of it"
        yield Remark(Level.NOTICE, text, device.uuid)


def _news(snapshot: Snapshot) -> Iterator[Remark]:
    for event in reversed(snapshot.events):
        ago = snapshot.taken_at - event.at
        if event.kind == "xid" and ago < _NEWS_SECONDS:
            text = f"{event_text(event, snapshot)}, {units.age(ago)} ago"
            yield Remark(Level.BAD, text, event.uuid)

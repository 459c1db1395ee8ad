"""Judges GPUs by several looks at them: which are free enough for a new job."""

from __future__ import annotations

from collections.abc import Container, Sequence

from gpudoctor.model.pick import Candidate, Pick, Wanted
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.units import data_size, percent

_NO_ACTION = (None, "none")


def choose(
    looks: Sequence[Snapshot],
    wanted: Wanted,
    *,
    by_index: bool = False,
    allowed: Container[str] | None = None,
) -> Pick:
    """The freest GPUs that meet `wanted` in every look. `looks` are in order of time, at least one.

    `allowed` are the UUIDs that CUDA_VISIBLE_DEVICES leaves us already, None for all.
    """
    last = looks[-1]
    by_bus = sorted(last.devices, key=lambda device: (_bus(device), device.index))
    places = {device.uuid: place for place, device in enumerate(by_bus)}
    candidates = [
        _judge(device, places[device.uuid], looks, wanted, allowed) for device in last.devices
    ]
    free = sorted((row for row in candidates if not row.reasons), key=_preference)
    picked = tuple(free[: wanted.count]) if len(free) >= wanted.count else ()
    names = [str(row.pci_index) if by_index else row.uuid for row in picked]
    return Pick(
        value=",".join(names) if picked else None,
        picked=picked,
        others=tuple(row for row in candidates if row not in picked),
        looks=len(looks),
        seconds=last.taken_at - looks[0].taken_at,
    )


def _bus(device: Device) -> str:
    return device.facts.pci_bus_id.lower().rjust(16, "0")


def _preference(row: Candidate) -> tuple[float, ...]:
    """The one with the fewest processes first, then the idlest, then the one with most free memory."""
    return (row.processes, row.busy_ratio or 0.0, -(row.free_bytes or 0), row.pci_index)


def _judge(
    device: Device,
    place: int,
    looks: Sequence[Snapshot],
    wanted: Wanted,
    allowed: Container[str] | None,
) -> Candidate:
    seen = [found for look in looks if (found := look.device(device.uuid)) is not None]
    free = [row.memory.free_bytes for row in seen if row.memory.free_bytes is not None]
    busy = [row.utilization.gpu_ratio for row in seen if row.utilization.gpu_ratio is not None]
    made = Candidate(
        index=device.index,
        pci_index=place,
        uuid=device.uuid,
        name=device.facts.name,
        free_bytes=min(free, default=None),
        busy_ratio=max(busy, default=None),
        processes=len(_pids(device, looks)),
    )
    reasons = [*_broken(seen), *_reserved(seen[-1], allowed, made), *_too_full(made, wanted)]
    return Candidate(
        made.index,
        made.pci_index,
        made.uuid,
        made.name,
        made.free_bytes,
        made.busy_ratio,
        made.processes,
        tuple(dict.fromkeys(reasons)),
    )


def _pids(device: Device, looks: Sequence[Snapshot]) -> set[int]:
    return {
        row.pid
        for look in looks
        for row in look.processes
        if any(use.uuid == device.uuid and use.kind != "graphics" for use in row.gpus)
    }


def _broken(seen: Sequence[Device]) -> list[str]:
    """What makes a GPU unfit for any job."""
    reasons = [
        f"{row.state}: {row.error}" if row.error else str(row.state)
        for row in seen
        if row.state is not DeviceState.OK
    ]
    action = seen[-1].health.recovery_action
    if action not in _NO_ACTION:
        reasons.append(f"the driver asks for: {action}")
    return reasons


def _reserved(device: Device, allowed: Container[str] | None, made: Candidate) -> list[str]:
    """What makes a GPU unfit for us."""
    reasons = []
    if allowed is not None and device.uuid not in allowed:
        reasons.append("hidden by CUDA_VISIBLE_DEVICES")
    if device.health.compute_mode == "prohibited":
        reasons.append("its compute mode is prohibited")
    if device.health.compute_mode == "exclusive process" and made.processes:
        reasons.append("in exclusive process mode, and taken")
    if device.mig.enabled:
        reasons.append("in MIG mode: choose an instance by its UUID (gpudoctor visible)")
    return reasons


def _too_full(made: Candidate, wanted: Wanted) -> list[str]:
    """Where it offers less than is wanted. What is not known is not enough."""
    reasons = []
    if wanted.free_bytes is not None:
        if made.free_bytes is None:
            reasons.append("its free memory is not known")
        elif made.free_bytes < wanted.free_bytes:
            reasons.append(
                f"{data_size(made.free_bytes)} free, {data_size(wanted.free_bytes)} wanted"
            )
    if wanted.busy_ratio is not None:
        if made.busy_ratio is None:
            reasons.append("how busy it is is not known")
        elif made.busy_ratio > wanted.busy_ratio:
            reasons.append(
                f"{percent(made.busy_ratio)} busy, at most {percent(wanted.busy_ratio)} wanted"
            )
    if wanted.idle and made.processes:
        reasons.append(f"{made.processes} process{'es' if made.processes > 1 else ''} on it")
    return reasons

"""Joins what the GPUs say of a pid with what the operating system says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpudoctor.model.process import DeviceProcess, GpuProcess, GpuUse, ProcessFacts
from gpudoctor.model.snapshot import Device


def pids_of(samples: Iterable[tuple[Device, tuple[DeviceProcess, ...]]]) -> frozenset[int]:
    """The pids that any GPU names."""
    return frozenset(process.pid for _, processes in samples for process in processes)


def merge(
    samples: Iterable[tuple[Device, tuple[DeviceProcess, ...]]], facts: Mapping[int, ProcessFacts]
) -> tuple[GpuProcess, ...]:
    """One GpuProcess for each pid, in the order of first GPU and pid; `facts` may lack pids."""
    uses: dict[int, list[GpuUse]] = {}
    for device, processes in samples:
        for process in processes:
            uses.setdefault(process.pid, []).append(_use(device, process))
    rows = [_row(pid, tuple(held), facts.get(pid)) for pid, held in uses.items()]
    return tuple(sorted(rows, key=lambda row: (row.gpus[0].index, row.pid)))


def _use(device: Device, process: DeviceProcess) -> GpuUse:
    return GpuUse(
        device.facts.index,
        device.facts.uuid,
        process.kind,
        process.memory_used_bytes,
        process.gpu_instance,
        process.compute_instance,
        process.sm_ratio,
        process.memory_ratio,
    )


def _row(pid: int, gpus: tuple[GpuUse, ...], facts: ProcessFacts | None) -> GpuProcess:
    amounts = [use.memory_used_bytes for use in gpus if use.memory_used_bytes is not None]
    used = sum(amounts) if amounts else None
    if facts is None:
        return GpuProcess(pid, None, gpus, used, visible=False)
    return GpuProcess(
        pid,
        facts.key.started,
        gpus,
        used,
        visible=True,
        name=facts.name,
        command=facts.command,
        user=facts.user,
        uid=facts.uid,
        parent_pid=facts.parent_pid,
        state=facts.state,
        cpu_ratio=facts.cpu_ratio,
        host_memory_used_bytes=facts.memory_used_bytes,
    )

"""Values for tests: a device, a process, a snapshot, each with sensible readings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.readings import (
    ClockReading,
    DeviceFacts,
    MemoryReading,
    PowerReading,
    ThermalReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import Device, DriverFacts, HostReading, Snapshot

GIB = 1024**3
AT = 1_790_000_000.0


def uuid_of(index: int) -> str:
    return f"GPU-00000000-0000-0000-0000-{index:012d}"


def device(index: int = 0, **changes: Any) -> Device:
    made = Device(
        facts=DeviceFacts(
            uuid=uuid_of(index),
            index=index,
            name="NVIDIA H100 80GB HBM3",
            pci_bus_id=f"00000000:{index + 1:02X}:00.0",
            memory_total_bytes=80 * GIB,
        ),
        memory=MemoryReading(80 * GIB, 20 * GIB, 60 * GIB),
        utilization=UtilizationReading(0.5, 0.25),
        power=PowerReading(350.0, 700.0, 1000.0),
        thermal=ThermalReading(60, 70),
        clocks=ClockReading(1.5e9, 2.6e9, reasons=()),
    )
    return replace(made, **changes)


def process(
    pid: int = 100, index: int = 0, used: int | None = 10 * GIB, **changes: Any
) -> GpuProcess:
    made = GpuProcess(
        pid=pid,
        started=AT - 60,
        gpus=(GpuUse(index, uuid_of(index), "compute", used),),
        memory_used_bytes=used,
        visible=True,
        name="python",
        command=("python", "train.py"),
        user="ana",
        uid=1000,
        parent_pid=1,
        state="running",
        cpu_ratio=1.0,
        host_memory_used_bytes=2 * GIB,
    )
    return replace(made, **changes)


def snapshot(*devices: Device, processes: tuple[GpuProcess, ...] = (), **changes: Any) -> Snapshot:
    made = Snapshot(
        taken_at=AT,
        monotonic=1000.0,
        source="nvml",
        driver=DriverFacts("580.95.05", "13.580.95.05", (13, 0)),
        devices=devices or (device(),),
        processes=processes,
        host=HostReading("node", 8, 0.5, 8 * GIB, 64 * GIB, (1.0, 1.0, 1.0)),
    )
    return replace(made, **changes)

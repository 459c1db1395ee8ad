"""The scripted machine of --demo: eight GPUs on which the everyday cases can be seen.

GPU 0–3 train together and wait for data now and then, 4 holds an idle notebook, 5 an orphan whose
launcher is gone, 6 runs hot and is slowed down, 7 reports an Xid a while after the start. Nothing of
it was measured; every front end marks it as simulated.
"""

from __future__ import annotations

import math
import time

from gpudoctor.model.listing import Above
from gpudoctor.model.owner import Owner
from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.readings import (
    ClockReading,
    DeviceFacts,
    GpmReading,
    HealthReading,
    MemoryReading,
    MigReading,
    NvLink,
    NvLinkReading,
    PcieReading,
    PowerReading,
    ThermalReading,
    ThrottleReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import Device, DriverFacts, GpuEvent, HostReading, Snapshot

GIB = 1024**3
_TOTAL = 80 * GIB
_RESERVED = 600 * 1024**2
_LINKS = 18
_XID_AFTER_S = 8.0
_XID = 13
_TRAIN = ("python", "train.py", "--model", "resnet50", "--batch-size", "256", "--amp")
# On whose behalf its processes run: two Slurm jobs, a pod with the notebook, a container.
OWNERS = {
    **dict.fromkeys(range(41_200, 41_204), Owner(slurm_job="8123")),
    44_871: Owner(slurm_job="8130"),
    38_014: Owner(pod_uid="3c9f7a52-0d1e-4b6f-9a41-5be1f0d0c038"),
    45_002: Owner(container="b1f20d7c93ae"),
}


def _uuid(index: int) -> str:
    return f"GPU-5e1f0d0c-{index:04d}-4de0-b0de-0000000000{index:02d}"


# What started its processes: by the parent's pid, the nearest first.
LAUNCHERS: dict[int, tuple[Above, ...]] = {
    41_190: (
        Above(41_190, "torchrun", ("torchrun", "--nproc-per-node=4", *_TRAIN[1:])),
        Above(41_172, "slurmstepd", ("slurmstepd: [8123.0]",)),
    ),
    44_860: (Above(44_860, "slurmstepd", ("slurmstepd: [8130.0]",)),),
    37_980: (Above(37_980, "jupyter-lab", ("jupyter-lab", "--no-browser")),),
    1_212: (Above(1_212, "containerd-shim", ("containerd-shim-runc-v2",)),),
}


# With what its processes were started, as far as it concerns their GPUs. The ranks choose by LOCAL_RANK.
ENVIRONMENTS: dict[int, dict[str, str]] = {
    **{
        41_200 + rank: {
            "CUDA_VISIBLE_DEVICES": "0,1,2,3",
            "SLURM_JOB_GPUS": "0,1,2,3",
            "LOCAL_RANK": str(rank),
        }
        for rank in range(4)
    },
    38_014: {"CUDA_VISIBLE_DEVICES": _uuid(4)},
    29_907: {},  # it chose its GPU in its own code
    44_871: {"CUDA_VISIBLE_DEVICES": "6", "SLURM_JOB_GPUS": "6"},
    45_002: {"CUDA_VISIBLE_DEVICES": _uuid(7)},
}


def _wave(elapsed_s: float, period_s: float, phase: float = 0.0) -> float:
    """A smooth up and down from 0 to 1, the same at every start."""
    return 0.5 + 0.5 * math.sin(2 * math.pi * elapsed_s / period_s + phase)


def _busy(index: int, elapsed_s: float) -> float:
    """The share of time in which GPU `index` is busy, 0 to 1."""
    if index <= 3:
        # Every 20 s the loader falls behind for 4 s and all ranks wait together.
        waits = elapsed_s % 20 < 4
        return (0.08 if waits else 0.93) + 0.05 * _wave(elapsed_s, 7, index)
    if index == 6:
        return 0.96 + 0.04 * _wave(elapsed_s, 5)
    if index == 7:
        return 0.35 + 0.4 * _wave(elapsed_s, 31)
    return 0.0


def _held(index: int, elapsed_s: float) -> int:
    """Bytes that processes hold on GPU `index`."""
    if index <= 3:
        return int((58 + 3 * _wave(elapsed_s, 20, index)) * GIB)
    return int({4: 31.4, 5: 22.7, 6: 71.2, 7: 18.9}[index] * GIB)


def _device(index: int, elapsed_s: float) -> Device:
    busy = _busy(index, elapsed_s)
    hot = index == 6
    celsius = 86 + round(2 * _wave(elapsed_s, 13)) if hot else round(34 + 32 * busy)
    reasons = ("hw_thermal_slowdown", "sw_power_cap") if hot else ("idle",) if busy == 0 else ()
    clock = 1.215e9 if hot else (1.98e9 if busy > 0.02 else 0.345e9)
    used = _held(index, elapsed_s) + _RESERVED
    return Device(
        facts=_facts(index),
        memory=MemoryReading(_TOTAL, used, _TOTAL - used, _RESERVED, 4 * 1024**2, 128 * GIB),
        utilization=UtilizationReading(busy, busy * 0.6, 0.0, 0.0),
        power=PowerReading(70 + 600 * busy, 700.0, 4.1e8 + elapsed_s * (70 + 600 * busy)),
        thermal=ThermalReading(celsius, celsius + 8, None),
        clocks=ClockReading(clock, 2.619e9, clock, 1.5e9, 0 if busy > 0.02 else 8, reasons),
        pcie=PcieReading(5, 16, 1.2e9 * busy, 4.4e9 * busy, 0),
        nvlink=_nvlink(int(elapsed_s * 5e8 * busy)),
        health=HealthReading(
            True, 0, 0, 3 if hot else 0, 0, 0, 0, False, False, None, None, "none", True
        ),
        gpm=GpmReading(
            busy * 0.82, busy * 0.41, busy * 0.33, busy * 0.52, 0.0, busy * 0.12, 0.0, 0.0, busy
        ),
        mig=MigReading(False),
        throttle=ThrottleReading(
            sw_power_cap_seconds=elapsed_s * 0.4 if hot else 0.0,
            sync_boost_seconds=0.0,
            sw_thermal_seconds=0.0,
            hw_thermal_seconds=elapsed_s * 0.9 if hot else 0.0,
            hw_power_brake_seconds=0.0,
        ),
    )


def _nvlink(each: int) -> NvLinkReading:
    links = tuple(NvLink(link, True, each, each) for link in range(_LINKS))
    return NvLinkReading(_LINKS, _LINKS, _LINKS * each, _LINKS * each, 0, 0, 0, links)


def _facts(index: int) -> DeviceFacts:
    return DeviceFacts(
        uuid=_uuid(index),
        index=index,
        name="NVIDIA H100 80GB HBM3",
        pci_bus_id=f"00000000:{(0x19, 0x3B, 0x4C, 0x5D, 0x9B, 0xBB, 0xCB, 0xDB)[index]:02X}:00.0",
        architecture="Hopper",
        compute_capability=(9, 0),
        memory_total_bytes=_TOTAL,
        cuda_cores=16_896,
        minor_number=index,
        power_limit_default_watts=700.0,
        power_limit_max_watts=700.0,
        temperature_slowdown_celsius=87,
        temperature_shutdown_celsius=92,
        sm_clock_max_hertz=1.98e9,
        memory_clock_max_hertz=2.619e9,
        pcie_generation_max=5,
        pcie_width_max=16,
        nvlink_count=_LINKS,
        temperature_memory_max_celsius=105,
    )


class DemoTimeline:
    """Makes up the machine for each moment; the same moment always looks the same."""

    source = "demo"

    def __init__(self, opened_at: float | None = None) -> None:
        self._opened = time.time() if opened_at is None else opened_at

    def at(self, elapsed_s: float) -> Snapshot:
        """The machine `elapsed_s` seconds after it was opened."""
        return Snapshot(
            taken_at=self._opened + elapsed_s,
            monotonic=elapsed_s,
            source=self.source,
            driver=DriverFacts("580.95.05", "13.580.95.05", (13, 0)),
            devices=tuple(_device(index, elapsed_s) for index in range(8)),
            processes=self._processes(elapsed_s),
            host=HostReading(
                "demo-node",
                112,
                0.22 + 0.1 * _wave(elapsed_s, 17),
                int(412 * GIB),
                2048 * GIB,
                (31.2, 28.4, 27.9),
            ),
        )

    def events_until(self, elapsed_s: float) -> tuple[GpuEvent, ...]:
        """One Xid on GPU 7, after a while."""
        if elapsed_s < _XID_AFTER_S:
            return ()
        return (GpuEvent(self._opened + _XID_AFTER_S, _uuid(7), "xid", _XID),)

    def _processes(self, elapsed_s: float) -> tuple[GpuProcess, ...]:
        rows = [
            self._row(
                41_200 + rank,
                (rank,),
                elapsed_s,
                "ana",
                _TRAIN,
                age_s=9_240,
                cpu=1.0,
                parent=41_190,
            )
            for rank in range(4)
        ]
        kernel = (
            "python",
            "-m",
            "ipykernel_launcher",
            "-f",
            "/run/user/1004/jupyter/kernel-8c1f.json",
        )
        rows += [
            self._row(
                38_014, (4,), elapsed_s, "ben", kernel, age_s=259_200, cpu=0.0, parent=37_980
            ),
            self._row(
                29_907,
                (5,),
                elapsed_s,
                "cho",
                ("python", "sweep.py"),
                age_s=97_800,
                cpu=0.0,
                parent=1,
            ),
            self._row(
                44_871,
                (6,),
                elapsed_s,
                "dee",
                ("python", "pretrain.py", "--bf16"),
                18_600,
                1.0,
                44_860,
            ),
            self._row(
                45_002, (7,), elapsed_s, "eli", ("python", "serve_llm.py"), 5_400, 0.6, 1_212
            ),
        ]
        return tuple(rows)

    def _row(
        self,
        pid: int,
        indices: tuple[int, ...],
        elapsed_s: float,
        user: str,
        command: tuple[str, ...],
        age_s: float,
        cpu: float,
        parent: int,
    ) -> GpuProcess:
        uses = tuple(
            GpuUse(
                index,
                _uuid(index),
                "compute",
                _held(index, elapsed_s),
                sm_ratio=_busy(index, elapsed_s),
                memory_ratio=_busy(index, elapsed_s) * 0.6,
            )
            for index in indices
        )
        return GpuProcess(
            pid,
            self._opened - age_s,
            uses,
            sum(use.memory_used_bytes or 0 for use in uses),
            visible=True,
            name="python",
            command=command,
            user=user,
            uid=None,
            parent_pid=parent,
            state="running" if cpu else "sleeping",
            cpu_ratio=cpu,
            host_memory_used_bytes=int((6 + pid % 7) * GIB),
        )

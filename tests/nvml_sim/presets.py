"""Machines to test on. The numbers are those that such cards show; the pids are made up."""

from __future__ import annotations

from collections.abc import Sequence

from tests.nvml_sim.machine import SimGpu, SimMachine, SimMig, SimProcess, Value, ramp

MIB = 1024**2
GIB = 1024**3
FIRST_PID = 4_100_000  # above what a test machine gives out, unless pid_max was raised

_H100_BUSES = (0x19, 0x3B, 0x4C, 0x5D, 0x9B, 0xBB, 0xCB, 0xDB)


def eight_h100(processes: int = 12, pids: Sequence[int] | None = None) -> SimMachine:
    """A DGX-like machine: NVLink through switches, ECC, GPM. Processes are dealt out in turn."""
    machine = SimMachine([h100(index) for index in range(8)])
    for number, pid in enumerate(pids if pids is not None else _made_up(processes)):
        _add(machine.gpus[number % 8], pid, (6 + number) * GIB, sm=20 + number)
    return machine


def one_rtx3090(pids: Sequence[int] | None = None) -> SimMachine:
    """A desktop: a display server, one program, no ECC, no GPM, no NVLink."""
    machine = SimMachine([rtx3090(0)], "570.211.01", "12.570.211.01", cuda=12080)
    shown, *rest = pids if pids is not None else _made_up(2)
    machine.gpus[0].processes.append(SimProcess(shown, 180 * MIB, kind="graphics"))
    for pid in rest:
        _add(machine.gpus[0], pid, 5 * GIB, sm=55)
    return machine


def mig_a100(pids: Sequence[int] | None = None) -> SimMachine:
    """One A100 in three unequal parts, each with a process."""
    gpu = a100(0)
    for unit in ("gpu", "memory", "encoder", "decoder"):  # not measured in MIG mode
        gpu[f"utilization.{unit}"] = None
    gpu.update({"mig.current": 1, "mig.pending": 1})
    for slot, (gi, slices, gib, sms) in enumerate(((1, 3, 20, 42), (5, 2, 10, 28), (13, 1, 5, 14))):
        gpu.migs[slot] = _instance(slot, gi, slices, gib, sms)
    for pid, mig in zip(pids if pids is not None else _made_up(3), gpu.migs.values(), strict=True):
        gpu.processes.append(SimProcess(pid, 2 * GIB, gi=int(mig["gi"]), ci=0))
        mig.memory_used = 2 * GIB
    return SimMachine([gpu])


def mixed() -> SimMachine:
    """Four generations in one machine; the older ones give fewer readings."""
    return SimMachine([h100(0), a100(1), rtx3090(2), p40(3)])


def _made_up(count: int) -> range:
    return range(FIRST_PID, FIRST_PID + count)


def _add(gpu: SimGpu, pid: int, memory: int, sm: int) -> None:
    """A working process: the GPU is as busy as its processes together, and its clocks are up."""
    gpu.processes.append(SimProcess(pid, memory, sm=sm, mem=sm // 2))
    gpu.utilization = min(100, sum(process.sm or 0 for process in gpu.processes))
    gpu.memory_utilization = gpu.utilization // 2
    gpu["clock.graphics"] = gpu["clock.sm"] = gpu["clock.max.sm"]
    gpu.clock_reasons = 0
    gpu["pstate"] = 0


def _instance(slot: int, gi: int, slices: int, gib: int, sms: int) -> SimMig:
    return SimMig(
        {
            "uuid": f"MIG-6e1f0d0c-{slot:04d}-5de0-b0de-00000000000{slot}",
            "name": f"NVIDIA A100-SXM4-40GB MIG {slices}g.{gib}gb",
            "gi": gi,
            "ci": 0,
            "multiprocessors": sms,
            "gpu_slices": slices,
            "compute_slices": slices,
            "copy_engines": slices,
            "memory.total": gib * GIB - 64 * MIB,
            "memory.used": 0,
            "bar1.total": (gib // 5) * 8191 * MIB,
            "bar1.used": 0,
        }
    )


def _common(index: int, bus: int) -> dict[str, Value]:
    return {
        "uuid": f"GPU-6e1f0d0c-{index:04d}-4de0-b0de-00000000000{index}",
        "minor": index,
        "pci.bus_id": f"00000000:{bus:02X}:00.0",
        "numa_node": index // 4,
        "cpu_affinity": hex(0xFFFF_FFFF << (32 * (index // 4))),
        "persistence_mode": 1,
        "compute_mode": 0,
        "display.mode": 0,
        "display.active": 0,
        "utilization.gpu": 0,
        "utilization.memory": 0,
        "utilization.encoder": 0,
        "utilization.decoder": 0,
        "accounting.mode": 0,
        "virtualization_mode": 0,
        "clock.reasons": 1,
        "clock.reasons.supported": 0x1FF,
        "violation.0": 0,
        "violation.1": 0,
        "pcie.replays": 0,
        "pcie.tx_kib": 1200,
        "pcie.rx_kib": 3400,
        "energy_mj": ramp(1_000_000, 70_000),
    }


def _clocks(graphics: int, memory: int, idle: int) -> dict[str, Value]:
    """Clocks of an idle card, in MHz."""
    return {
        "clock.graphics": idle,
        "clock.sm": idle,
        "clock.memory": memory,
        "clock.video": idle,
        "clock.max.graphics": graphics,
        "clock.max.sm": graphics,
        "clock.max.memory": memory,
        "clock.max.video": graphics,
        "pstate": 0,
    }


def _power(usage_mw: int, limit_mw: int, least_mw: int, most_mw: int) -> dict[str, Value]:
    return {
        "power.usage_mw": usage_mw,
        "power.average_mw": usage_mw,
        "power.enforced_mw": limit_mw,
        "power.limit_mw": limit_mw,
        "power.default_mw": limit_mw,
        "power.min_mw": least_mw,
        "power.max_mw": most_mw,
        "power.management_mode": 1,
    }


def _link(generation: int, width: int) -> dict[str, Value]:
    return {
        "pcie.generation": generation,
        "pcie.generation.max": generation,
        "pcie.generation.gpu_max": generation,
        "pcie.width": width,
        "pcie.width.max": width,
    }


def _ecc() -> dict[str, Value]:
    values: dict[str, Value] = {"ecc.current": 1, "ecc.pending": 1, "ecc.default": 1}
    for kind in ("corrected", "uncorrected"):
        for counter in ("volatile", "aggregate"):
            values[f"ecc.{kind}.{counter}"] = 0
            values[f"ecc.{kind}.{counter}.dram"] = 0
            values[f"ecc.{kind}.{counter}.sram"] = 0
    return values


def _rows() -> dict[str, Value]:
    histogram: dict[str, Value] = {
        f"rows.histogram.{name}": 640 if name == "max" else 0
        for name in ("max", "high", "partial", "low", "none")
    }
    names = ("corrected", "uncorrected", "pending", "failure")
    return histogram | {f"rows.{name}": 0 for name in names}


def _nvlink(links: int, version: int, speed_mbps: int) -> dict[str, Value]:
    return {
        "nvlink.count": links,
        "nvlink.state": 1,
        "nvlink.version": version,
        "nvlink.speed_mbps": speed_mbps,
        "nvlink.replay": 0,
        "nvlink.recovery": 0,
        "nvlink.crc": 0,
        "nvlink.crc_flit": 0,
        "nvlink.crc_data": 0,
        "nvlink.tx_kib": ramp(1_000, 500),
        "nvlink.rx_kib": ramp(2_000, 700),
        "nvlink.remote_type": 2,
        "nvlink.capabilities": 0x2F,
        "p2p": 0,
    }


def _gpm() -> dict[str, Value]:
    shares = {
        1: 50.0,
        2: 82.0,
        3: 41.0,
        4: 9.0,
        5: 33.0,
        7: 33.0,
        10: 52.0,
        11: 0.0,
        12: 12.0,
        13: 4.0,
    }
    rates = {20: 1200.0, 21: 3400.0, 60: 90000.0, 61: 88000.0}
    return {"gpm.supported": 1} | {f"gpm.{n}": v for n, v in (shares | rates).items()}


def h100(index: int) -> SimGpu:
    """H100 SXM, idle."""
    values = _common(index, _H100_BUSES[index]) | _clocks(1980, 2619, 345) | _link(5, 16)
    values |= _power(70_000, 700_000, 200_000, 700_000) | _ecc() | _rows() | _gpm()
    values |= _nvlink(18, 4, 26562) | {
        "name": "NVIDIA H100 80GB HBM3",
        "serial": f"165352300100{index}",
        "vbios": "96.00.99.00.01",
        "brand": 14,
        "architecture": 9,
        "cores": 16896,
        "multiprocessors": 132,
        "compute_capability.major": 9,
        "compute_capability.minor": 0,
        "memory.total": 81559 * MIB,
        "memory.reserved": 551 * MIB,
        "memory.bus_width": 5120,
        "bar1.total": 128 * GIB,
        "bar1.used": 4 * MIB,
        "temperature.gpu": 30,
        "temperature.memory": 42,
        "temperature.shutdown": 92,
        "temperature.slowdown": 89,
        "temperature.gpu_max": 87,
        "temperature.memory_max": 95,
        "temperature.margin": 57,
        "pci.device_id": 0x233010DE,
        "pci.subsystem_id": 0x16C110DE,
        "mig.current": 0,
        "mig.pending": 0,
        "mig.max": 7,
        "fan.count": 0,
        "fabric.state": 3,
        "recovery_action": 0,
        "events.supported": 0xFE1F,
    }
    return SimGpu(values)


def a100(index: int) -> SimGpu:
    """A100 SXM 40 GB, idle."""
    values = _common(index, 0x07 + index) | _clocks(1410, 1215, 210) | _link(4, 16) | _ecc()
    values |= _power(55_000, 400_000, 100_000, 400_000) | _rows() | _nvlink(12, 3, 25781)
    values |= {
        "name": "NVIDIA A100-SXM4-40GB",
        "serial": f"156452100100{index}",
        "vbios": "92.00.45.00.03",
        "brand": 14,
        "architecture": 7,
        "cores": 6912,
        "compute_capability.major": 8,
        "compute_capability.minor": 0,
        "memory.total": 40960 * MIB,
        "memory.reserved": 425 * MIB,
        "memory.bus_width": 5120,
        "bar1.total": 64 * GIB,
        "bar1.used": 1 * MIB,
        "temperature.gpu": 31,
        "temperature.memory": 34,
        "temperature.shutdown": 92,
        "temperature.slowdown": 89,
        "temperature.gpu_max": 85,
        "temperature.memory_max": 95,
        "pci.device_id": 0x20B010DE,
        "pci.subsystem_id": 0x134F10DE,
        "mig.current": 0,
        "mig.pending": 0,
        "mig.max": 7,
        "fan.count": 0,
        "gpm.supported": 0,
        "recovery_action": 0,
    }
    return SimGpu(values)


def rtx3090(index: int) -> SimGpu:
    """GeForce RTX 3090: what a consumer card leaves out is absent here too."""
    values = _common(index, 0x01 + index) | _clocks(2100, 9751, 210) | _link(4, 16)
    values |= _power(24_000, 350_000, 100_000, 366_000) | {
        "name": "NVIDIA GeForce RTX 3090",
        "vbios": "94.02.42.00.A9",
        "brand": 5,
        "architecture": 7,
        "cores": 10496,
        "compute_capability.major": 8,
        "compute_capability.minor": 6,
        "memory.total": 24576 * MIB,
        "memory.reserved": 317 * MIB,
        "memory.bus_width": 384,
        "bar1.total": 256 * MIB,
        "bar1.used": 9 * MIB,
        "temperature.gpu": 38,
        "temperature.shutdown": 98,
        "temperature.slowdown": 95,
        "temperature.gpu_max": 93,
        "pci.device_id": 0x220410DE,
        "pci.subsystem_id": 0x403B1458,
        "fan.count": 2,
        "fan.percent": 30,
        "fan.rpm": 1100,
        "display.active": 1,
        "pstate": 8,
    }
    return SimGpu(values)


def p40(index: int) -> SimGpu:
    """Tesla P40: Pascal, page retirement instead of row remapping, no energy counter."""
    values = _common(index, 0x85 + index) | _clocks(1531, 3615, 544) | _link(3, 16) | _ecc()
    values |= _power(49_000, 250_000, 125_000, 250_000) | {
        "name": "Tesla P40",
        "serial": f"032211706100{index}",
        "vbios": "86.02.23.00.01",
        "brand": 2,
        "architecture": 4,
        "cores": 3840,
        "compute_capability.major": 6,
        "compute_capability.minor": 1,
        "memory.total": 24576 * MIB,
        "memory.reserved": 131 * MIB,
        "memory.bus_width": 384,
        "bar1.total": 32 * GIB,
        "bar1.used": 2 * MIB,
        "temperature.gpu": 33,
        "temperature.shutdown": 95,
        "temperature.slowdown": 92,
        "pci.device_id": 0x1B3810DE,
        "pci.subsystem_id": 0x11D910DE,
        "fan.count": 0,
        "retired.single_bit": 0,
        "retired.double_bit": 2,
        "retired.pending": 0,
    }
    gpu = SimGpu(values)
    gpu["energy_mj"] = None
    return gpu

"""Everything that is known of one GPU or one process, as names and values."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor import units
from gpudoctor.model.orphan import Orphan, Reason
from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.readings import HealthReading
from gpudoctor.model.snapshot import Device
from gpudoctor.present.cells import Level
from gpudoctor.present.devices import clock_limit, state_cell, temperature_cell
from gpudoctor.present.explain import weighed
from gpudoctor.present.processes import command_line
from gpudoctor.present.verdicts import verdict_level


@dataclass(frozen=True, slots=True)
class Fact:
    """A name with its value; a heading has no value."""

    name: str
    value: str = ""
    level: Level = Level.PLAIN
    heading: bool = False


def _heading(name: str) -> Fact:
    return Fact(name, heading=True)


def process_facts(
    process: GpuProcess, now: float, judged: Orphan | None = None
) -> tuple[Fact, ...]:
    """A process: what it runs, whose it is, what it holds of which GPU, whether it is left over."""
    age = None if process.started is None else now - process.started
    facts = [
        _heading("Process"),
        Fact("pid", str(process.pid)),
        Fact("command", command_line(process)),
        Fact("user", units.printable(units.text(process.user))),
        Fact("parent", units.text(process.parent_pid)),
        Fact("state", units.text(process.state)),
        Fact("runs for", units.age(age)),
        Fact("CPU", units.percent(process.cpu_ratio)),
        Fact("host memory", units.data_size(process.host_memory_used_bytes)),
        Fact("GPU memory", units.data_size(process.memory_used_bytes)),
    ]
    if judged is not None:
        facts += _verdict(judged)
    for use in process.gpus:
        facts += _use(use)
    return tuple(facts)


def _verdict(judged: Orphan) -> list[Fact]:
    reasons = [_reason(one) for one in judged.reasons]
    offers = [Fact(one.action, f"{one.command}  {one.text}") for one in judged.offers]
    verdict = Fact("verdict", judged.verdict.value, verdict_level(judged))
    return [_heading("Left over?"), verdict, *reasons, _heading("What can be done"), *offers]


def _reason(reason: Reason) -> Fact:
    label, _ = weighed(reason.weight)
    words = f"{reason.text}: {reason.evidence}" if reason.evidence else reason.text
    return Fact(label, units.printable(words))


def _use(use: GpuUse) -> list[Fact]:
    where = f"GPU {use.index}"
    if use.gpu_instance is not None:
        where += f", MIG {use.gpu_instance}/{units.text(use.compute_instance)}"
    return [
        _heading(where),
        Fact("uuid", use.uuid),
        Fact("kind", use.kind),
        Fact("memory", units.data_size(use.memory_used_bytes)),
        Fact("SM", units.percent(use.sm_ratio)),
        Fact("memory bus", units.percent(use.memory_ratio)),
    ]


def device_facts(device: Device, now: float) -> tuple[Fact, ...]:
    """A GPU: what it is and every reading that it gives."""
    facts, state = device.facts, state_cell(device, now)
    return (
        _heading(f"GPU {device.index}: {units.printable(facts.name)}"),
        Fact("state", state.text, state.level),
        *([Fact("error", units.printable(device.error), Level.WARN)] if device.error else []),
        Fact("uuid", facts.uuid),
        Fact("PCI bus id", facts.pci_bus_id),
        Fact("architecture", units.text(facts.architecture)),
        Fact("compute capability", units.version_pair(facts.compute_capability)),
        Fact("serial", units.text(facts.serial)),
        Fact("VBIOS", units.text(facts.vbios_version)),
        *_load(device),
        *_power(device),
        *_links(device),
        *_health(device.health),
    )


def _load(device: Device) -> list[Fact]:
    memory, busy, gpm = device.memory, device.utilization, device.gpm
    coders = f"{units.percent(busy.encoder_ratio)}, {units.percent(busy.decoder_ratio)}"
    return [
        _heading("Load"),
        Fact("utilization", units.percent(busy.gpu_ratio)),
        Fact("memory controller", units.percent(busy.memory_ratio)),
        Fact("encoder, decoder", coders),
        Fact("SM active", units.percent(gpm.sm_active_ratio)),
        Fact("SM occupancy", units.percent(gpm.sm_occupancy_ratio)),
        Fact("tensor cores active", units.percent(gpm.tensor_active_ratio)),
        Fact("DRAM active", units.percent(gpm.dram_active_ratio)),
        Fact("memory used", _of(memory.used_bytes, memory.total_bytes)),
        Fact("memory reserved", units.data_size(memory.reserved_bytes)),
        Fact("BAR1", _of(memory.bar1_used_bytes, memory.bar1_total_bytes)),
    ]


def _power(device: Device) -> list[Fact]:
    power, clocks, thermal, facts = device.power, device.clocks, device.thermal, device.facts
    hot, (word, level) = temperature_cell(device), clock_limit(clocks)
    most, state = units.hertz(facts.memory_clock_max_hertz), clocks.performance_state
    reasons = units.UNKNOWN if clocks.reasons is None else ", ".join(clocks.reasons) or "none"
    return [
        _heading("Power, heat, clocks"),
        Fact("power", f"{units.watts(power.usage_watts)} of {units.watts(power.limit_watts)}"),
        Fact(
            "limit by default, most",
            f"{units.watts(facts.power_limit_default_watts)}, "
            f"{units.watts(facts.power_limit_max_watts)}",
        ),
        Fact("temperature", hot.text, hot.level),
        Fact(
            "slows down, shuts down at",
            f"{units.celsius(facts.temperature_slowdown_celsius)}, "
            f"{units.celsius(facts.temperature_shutdown_celsius)}",
        ),
        Fact("memory temperature", units.celsius(thermal.memory_celsius)),
        Fact("fan", units.percent(thermal.fan_ratio)),
        Fact(
            "SM clock", f"{units.hertz(clocks.sm_hertz)} of {units.hertz(facts.sm_clock_max_hertz)}"
        ),
        Fact("memory clock", f"{units.hertz(clocks.memory_hertz)} of {most}"),
        Fact("performance state", units.UNKNOWN if state is None else f"P{state}"),
        Fact("clocks", word, level),
        Fact("NVML's reasons", reasons),
    ]


def _links(device: Device) -> list[Fact]:
    pcie, link, facts = device.pcie, device.nvlink, device.facts
    return [
        _heading("Links"),
        Fact(
            "PCIe now", f"generation {units.text(pcie.generation)}, {units.text(pcie.width)} lanes"
        ),
        Fact(
            "PCIe at most",
            f"generation {units.text(facts.pcie_generation_max)}, "
            f"{units.text(facts.pcie_width_max)} lanes",
        ),
        Fact(
            "received, sent",
            f"{units.data_rate(pcie.receive_bytes_per_second)}, "
            f"{units.data_rate(pcie.transmit_bytes_per_second)}",
        ),
        Fact("PCIe replays", units.count(pcie.replays)),
        Fact(
            "NVLinks active", f"{units.count(link.links_active)} of {units.count(link.links_total)}"
        ),
        Fact(
            "NVLink errors",
            f"replay {units.count(link.replay_errors)}, "
            f"recovery {units.count(link.recovery_errors)}, CRC {units.count(link.crc_errors)}",
        ),
    ]


def _health(health: HealthReading) -> list[Fact]:
    return [
        _heading("Health"),
        Fact("ECC", _yes(health.ecc_enabled, "on", "off")),
        Fact(
            "corrected errors",
            f"{units.count(health.ecc_corrected_volatile)} since the driver was "
            f"loaded, {units.count(health.ecc_corrected_aggregate)} ever",
        ),
        _count("uncorrected errors", health.ecc_uncorrected_volatile),
        _count("uncorrected errors ever", health.ecc_uncorrected_aggregate, Level.WARN),
        Fact(
            "rows remapped",
            f"{units.count(health.remapped_corrected_rows)} after corrected, "
            f"{units.count(health.remapped_uncorrected_rows)} after uncorrected errors",
        ),
        _flag("remap waits for a reset", health.remap_pending, Level.WARN),
        _flag("remap failed", health.remap_failed, Level.BAD),
        Fact("retired pages", units.count(health.retired_pages)),
        Fact("driver recommends", units.text(health.recovery_action)),
        Fact("persistence mode", _yes(health.persistence_mode, "on", "off")),
        Fact("compute mode", units.text(health.compute_mode)),
        Fact("fabric", units.text(health.fabric_state)),
    ]


def _of(used: int | None, total: int | None) -> str:
    return f"{units.data_size(used)} of {units.data_size(total)}"


def _count(name: str, value: int | None, level: Level = Level.BAD) -> Fact:
    return Fact(name, units.count(value), level if value else Level.PLAIN)


def _flag(name: str, value: bool | None, level: Level) -> Fact:
    return Fact(name, _yes(value, "yes", "no"), level if value else Level.PLAIN)


def _yes(value: bool | None, yes: str, no: str) -> str:
    if value is None:
        return units.UNKNOWN
    return yes if value else no

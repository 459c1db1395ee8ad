"""The table of GPUs: one row a GPU, one more for each MIG instance of it."""

from __future__ import annotations

from gpudoctor import units
from gpudoctor.model.readings import ClockReading, MigInstance
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.present.cells import NOTHING, Cell, Level, Row, cell
from gpudoctor.present.columns import Column

# A card this near to its slowdown temperature is about to be slowed down.
_NEAR_CELSIUS = 5
_FULL_RATIO = 0.97
_FILLED_RATIO = 0.90

COLUMNS: tuple[Column, ...] = (
    Column("index", "GPU", 3, right=True),
    Column("name", "NAME", 14, rank=1, grow=1, most=24),
    Column("utilization", "UTIL", 10, grow=3, most=48, claim=1),
    Column("memory", "MEMORY GiB", 19, grow=3, most=52, claim=1),
    Column("power", "POWER W", 7, right=True),
    Column("temperature", "TEMP", 5, right=True),
    Column("clock", "SM MHz", 6, right=True),
    Column("users", "USERS", 8, grow=1, most=20),
    Column("state", "STATE", 12),
    Column("sm", "SM ACT", 6, rank=3, right=True),
    Column("tensor", "TENSOR", 6, rank=4, right=True),
    Column("dram", "DRAM", 5, rank=5, right=True),
    Column("pcie", "PCIe", 5, rank=2, right=True),
    Column("traffic", "RX/TX GiB/s", 11, rank=6, right=True),
    Column("hbm", "MEM TEMP", 8, rank=7, right=True),
    Column("fan", "FAN", 4, rank=8, right=True),
)

# What holds the clocks down, worst first: NVML's name, what is shown, how bad it is.
_REASONS: tuple[tuple[str, str, Level], ...] = (
    ("hw_thermal_slowdown", "slow: heat", Level.BAD),
    ("sw_thermal_slowdown", "slow: heat", Level.BAD),
    ("hw_power_brake_slowdown", "slow: brake", Level.BAD),
    ("hw_slowdown", "slow: hw", Level.BAD),
    ("sw_power_cap", "power cap", Level.NOTICE),
    ("sync_boost", "sync boost", Level.NOTICE),
    ("applications_clocks_setting", "app clocks", Level.NOTICE),
    ("display_clock_setting", "display", Level.NOTICE),
    ("idle", "idle", Level.DIM),
)


def device_rows(snapshot: Snapshot) -> tuple[Row, ...]:
    """All GPUs, each followed by its MIG instances."""
    users = users_by_uuid(snapshot)
    rows: list[Row] = []
    for device in snapshot.devices:
        rows.append(_row(device, users.get(device.uuid, ()), snapshot.taken_at))
        rows.extend(_instance_row(instance) for instance in device.mig.instances)
    return tuple(rows)


def users_by_uuid(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """Who uses each GPU, the greatest holder of memory first."""
    held: dict[str, dict[str, int]] = {}
    for process in snapshot.processes:
        name = process.user or units.UNKNOWN
        for use in process.gpus:
            # What was parked is not on the GPU.
            if use.kind == "parked" and not use.memory_used_bytes:
                continue
            of_gpu = held.setdefault(use.uuid, {})
            of_gpu[name] = of_gpu.get(name, 0) + (use.memory_used_bytes or 0)
    return {
        uuid: tuple(sorted(names, key=lambda name: (-names[name], name)))
        for uuid, names in held.items()
    }


def short_name(name: str) -> str:
    """A product name without the words that every card bears."""
    for prefix in ("NVIDIA ", "GeForce ", "Tesla "):
        name = name.removeprefix(prefix)
    return units.printable(name)


def _row(device: Device, users: tuple[str, ...], now: float) -> Row:
    cells = (
        Cell(str(device.index)),
        Cell(short_name(device.facts.name)),
        utilization_cell(device),
        memory_cell(device),
        power_cell(device),
        temperature_cell(device),
        clock_cell(device),
        _users_cell(users),
        state_cell(device, now),
        cell(units.percent(device.gpm.sm_active_ratio)),
        cell(units.percent(device.gpm.tensor_active_ratio)),
        cell(units.percent(device.gpm.dram_active_ratio)),
        link_cell(device),
        _traffic_cell(device),
        cell(units.celsius(device.thermal.memory_celsius)),
        cell(units.percent(device.thermal.fan_ratio)),
    )
    return Row(device.uuid, cells, faded=device.state is not DeviceState.OK)


def _instance_row(instance: MigInstance) -> Row:
    name = instance.name or f"MIG {instance.gpu_instance}/{instance.compute_instance}"
    known = {
        "name": Cell(" " + units.printable(name)),
        "memory": share_cell(instance.memory_used_bytes, instance.memory_total_bytes),
        "state": Cell(f"MIG {instance.gpu_instance}/{instance.compute_instance}", Level.DIM),
    }
    empty = Cell("")
    return Row(instance.uuid, tuple(known.get(column.key, empty) for column in COLUMNS))


def utilization_cell(device: Device) -> Cell:
    """The share of time in which the GPU was busy."""
    ratio = device.utilization.gpu_ratio
    if ratio is None:
        return NOTHING
    level = Level.DIM if ratio < 0.01 else Level.GOOD
    return Cell(f"{units.percent(ratio):>4}", level, ratio)


def memory_cell(device: Device) -> Cell:
    """Used of total frame buffer."""
    total = device.memory.total_bytes or device.facts.memory_total_bytes
    return share_cell(device.memory.used_bytes, total)


def share_cell(used: int | None, total: int | None) -> Cell:
    """Used of total memory, in GiB."""
    if used is None:
        return NOTHING if total is None else Cell(f"–/{units.gibibytes(total)}", Level.DIM)
    if not total:
        return Cell(units.gibibytes(used))
    ratio = used / total
    level = memory_level(ratio)
    return Cell(f"{units.gibibytes(used):>5}/{units.gibibytes(total):<5}", level, ratio)


def memory_level(ratio: float | None) -> Level:
    """How urgent a GPU's used share of memory is."""
    if ratio is None or ratio < _FILLED_RATIO:
        return Level.PLAIN
    return Level.BAD if ratio >= _FULL_RATIO else Level.WARN


def power_cell(device: Device) -> Cell:
    """Power drawn and its limit, in watts."""
    usage, limit = device.power.usage_watts, device.power.limit_watts
    if usage is None:
        return NOTHING
    return Cell(f"{usage:.0f}" if limit is None else f"{usage:.0f}/{limit:.0f}")


def temperature_cell(device: Device) -> Cell:
    """The core's temperature, judged by this card's own limit where it gives one."""
    celsius, limit = device.thermal.gpu_celsius, device.facts.temperature_slowdown_celsius
    if celsius is None or limit is None:
        return cell(units.celsius(celsius))
    if celsius >= limit:
        return Cell(units.celsius(celsius), Level.BAD)
    near = celsius >= limit - _NEAR_CELSIUS
    return Cell(units.celsius(celsius), Level.WARN if near else Level.PLAIN)


def clock_cell(device: Device) -> Cell:
    """The SM clock in MHz."""
    hertz = device.clocks.sm_hertz
    if hertz is None:
        return NOTHING
    _, level = clock_limit(device.clocks)
    return Cell(f"{hertz / 1e6:.0f}", level if level is Level.BAD else Level.PLAIN)


def clock_limit(clocks: ClockReading) -> tuple[str, Level]:
    """What holds the clocks down most, in a word or two."""
    if clocks.reasons is None:
        return units.UNKNOWN, Level.DIM
    for reason, text, level in _REASONS:
        if reason in clocks.reasons:
            return text, level
    return (clocks.reasons[0][:12], Level.NOTICE) if clocks.reasons else ("ok", Level.GOOD)


def state_cell(device: Device, now: float) -> Cell:
    """Whether the GPU answers and, if it does, what holds it back."""
    if device.state is DeviceState.OK:
        return cell(*clock_limit(device.clocks))
    since = "" if device.stale_since is None else " " + units.age(now - device.stale_since)
    level = Level.WARN if device.state is DeviceState.STALE else Level.BAD
    return Cell(f"{device.state.value}{since}", level)


def link_cell(device: Device) -> Cell:
    """The PCIe link as it is now; narrower than the card can is a fault, slower when idle is not."""
    generation, width = device.pcie.generation, device.pcie.width
    if generation is None or width is None:
        return NOTHING
    most = device.facts.pcie_width_max
    return Cell(f"{generation}×{width}", Level.WARN if most and width < most else Level.PLAIN)


def _traffic_cell(device: Device) -> Cell:
    receive, transmit = (
        device.pcie.receive_bytes_per_second,
        device.pcie.transmit_bytes_per_second,
    )
    if receive is None and transmit is None:
        return NOTHING
    return Cell(f"{units.gibibytes(receive)}/{units.gibibytes(transmit)}")


def _users_cell(users: tuple[str, ...]) -> Cell:
    if not users:
        return Cell("")
    more = f" +{len(users) - 1}" if len(users) > 1 else ""
    return Cell(units.printable(users[0]) + more)

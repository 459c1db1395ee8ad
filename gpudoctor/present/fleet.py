"""Many machines, and the GPUs of one of them, as rows of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gpudoctor import units
from gpudoctor.model.fleet import Fleet, FleetGpu, FleetMachine
from gpudoctor.present.cells import NOTHING, Cell, Level, Row, cell
from gpudoctor.present.columns import Column
from gpudoctor.present.devices import memory_level, short_name

COLUMNS: tuple[Column, ...] = (
    Column("name", "MACHINE", 16, grow=1, most=40),
    Column("gpus", "GPUS", 5, rank=4, right=True),
    Column("free", "FREE", 5, right=True),
    Column("util", "UTIL", 5, grow=1, most=24),
    Column("memory", "MEM", 5, grow=1, most=24),
    Column("power", "POWER", 8, rank=2, right=True),
    Column("hottest", "HOTTEST", 8, rank=3, right=True),
    Column("processes", "PROCS", 6, rank=5, right=True),
    Column("held", "LEFT OVER", 10, rank=1, right=True),
    Column("trouble", "TROUBLE", 18, grow=6, claim=3),
)
GPU_COLUMNS: tuple[Column, ...] = (
    Column("index", "GPU", 4, right=True),
    Column("name", "NAME", 14, rank=2, grow=1, most=28),
    Column("util", "UTIL", 10, grow=2, most=36),
    Column("memory", "MEMORY GiB", 19, grow=2, most=40),
    Column("power", "POWER", 8, rank=1, right=True),
    Column("temperature", "TEMP", 5, right=True),
    Column("processes", "PROCS", 6, rank=3, right=True),
    Column("users", "USERS", 8, grow=1, most=30),
    Column("state", "STATE", 23, grow=1),
)
# What never rose above this did nothing; the same bounds as in the query for idle GPUs.
_IDLE_RATIO, _HELD_RATIO = 0.01, 0.05


def severity(machine: FleetMachine) -> tuple[int, int, int, int]:
    """How much a machine needs somebody: does it answer, its sick GPUs, findings, idle GPUs."""
    silent = 2 if machine.sampling is None else int(not machine.sampling)
    sick = machine.gpus_down or 0
    return (silent, sick, (machine.findings or 0) + (machine.xids or 0), machine.gpus_idle or 0)


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """The column to sort by; `down` puts the worst, or the greatest, first."""

    key: str = "trouble"
    down: bool = True


_Value = float | str | tuple[int, ...] | None
_SORTS: dict[str, Callable[[FleetMachine], _Value]] = {
    "trouble": severity,
    "name": lambda it: it.instance,
    "gpus": lambda it: it.gpus,
    "free": lambda it: it.gpus_free,
    "util": lambda it: it.utilization_ratio,
    "memory": lambda it: it.memory_ratio,
    "power": lambda it: it.power_watts,
    "hottest": lambda it: it.hottest_celsius,
    "processes": lambda it: it.processes,
    "held": lambda it: it.orphans_memory_bytes,
}
SORT_KEYS: tuple[str, ...] = tuple(_SORTS)


def natural(key: str) -> FleetOrder:
    """The order in which a column is first sorted: names upwards, amounts downwards."""
    return FleetOrder(key, key != "name")


def ordered(machines: Iterable[FleetMachine], order: FleetOrder) -> tuple[FleetMachine, ...]:
    """The machines in this order, the unknown always last, equal ones by name."""
    value = _SORTS[order.key]
    named = sorted(machines, key=lambda it: it.instance)
    known = [it for it in named if value(it) is not None]
    known.sort(key=value, reverse=order.down)  # type: ignore[arg-type]
    return (*known, *(it for it in named if value(it) is None))


def matching(machines: Sequence[FleetMachine], query: str) -> list[FleetMachine]:
    """Those in whose name or troubles every word of `query` occurs."""
    words = query.casefold().split()
    texts = ((it, f"{it.instance} {', '.join(it.troubles)}".casefold()) for it in machines)
    return [it for it, text in texts if all(word in text for word in words)]


def machine_row(machine: FleetMachine) -> Row:
    """One machine."""
    held = machine.orphans_memory_bytes
    level = Level.BAD if any(severity(machine)[:3]) else Level.WARN
    cells = (
        Cell(units.printable(machine.instance)),
        cell(units.count(machine.gpus)),
        cell(units.count(machine.gpus_free), Level.GOOD if machine.gpus_free else Level.PLAIN),
        _share(machine.utilization_ratio, Level.GOOD),
        _share(machine.memory_ratio, memory_level(machine.memory_ratio)),
        cell(units.watts(machine.power_watts)),
        cell(units.celsius(machine.hottest_celsius)),
        cell(units.count(machine.processes)),
        cell(units.data_size(held), Level.WARN if held else Level.DIM),
        Cell(", ".join(machine.troubles), level) if machine.troubles else Cell("ok", Level.GOOD),
    )
    return Row(machine.instance, cells)


def total_text(fleet: Fleet) -> str:
    """The fleet in one line."""
    seen = [it for it in fleet.machines if it.sampling]
    known = fleet.machines
    gpus = units.count(_sum(it.gpus for it in known))
    free = units.count(_sum(it.gpus_free for it in known))
    power = units.watts(_sum(it.power_watts for it in known))
    held = _sum(it.orphans_memory_bytes for it in known)
    told = "" if held is None else f"; {units.data_size(held)} held by what is left over"
    return f"{len(seen)} of {len(known)} machines answer; {gpus} GPUs, {free} free; {power}{told}"


def gpu_row(gpu: FleetGpu) -> Row:
    """One GPU of a machine."""
    used, most = gpu.memory_used_bytes, gpu.memory_total_bytes
    memory = NOTHING
    if used is not None:
        text = f"{units.gibibytes(used):>5}/{units.gibibytes(most):<5}"
        memory = Cell(text, memory_level(gpu.memory_ratio), gpu.memory_ratio)
    cells = (
        cell(units.count(gpu.index)),
        cell(units.text(gpu.name and short_name(gpu.name))),
        _share(gpu.utilization_ratio, Level.GOOD),
        memory,
        cell(units.watts(gpu.power_watts)),
        cell(units.celsius(gpu.celsius)),
        cell(units.count(gpu.processes)),
        Cell(units.printable(", ".join(gpu.users))),
        _state(gpu),
    )
    return Row(gpu.uuid, cells)


def gpu_severity(gpu: FleetGpu) -> int:
    """0 where nothing speaks for looking at it."""
    return 3 if gpu.up is False else 2 if gpu.xids else int(_idle(gpu))


def _state(gpu: FleetGpu) -> Cell:
    if gpu.up is None:
        return NOTHING
    codes = f"Xid {', '.join(map(str, gpu.xids))}" if gpu.xids else ""
    if not gpu.up:
        return Cell(f"does not answer{', ' if codes else ''}{codes}", Level.BAD)
    if codes:
        return Cell(f"{codes} today", Level.BAD)
    if _idle(gpu):
        return Cell("held but idle", Level.WARN)
    if gpu.processes == 0:
        return Cell("free", Level.GOOD)
    return Cell("ok", Level.GOOD)


def _idle(gpu: FleetGpu) -> bool:
    held, busiest = gpu.memory_ratio, gpu.busiest_ratio
    return held is not None and held > _HELD_RATIO and busiest is not None and busiest < _IDLE_RATIO


def _share(ratio: float | None, level: Level) -> Cell:
    if ratio is None:
        return NOTHING
    level = Level.DIM if level is Level.GOOD and ratio < _IDLE_RATIO else level
    return Cell(f"{units.percent(ratio):>4}", level, ratio)


_Number = TypeVar("_Number", int, float)


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None

"""The table of `gpudoctor fleet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from gpudoctor.model.fleet import Fleet, FleetMachine
from gpudoctor.render.text import safe
from gpudoctor.units import celsius, count, data_size, percent, watts

_COLUMNS = (
    "MACHINE", "GPUS", "FREE", "UTIL", "MEM", "POWER", "HOTTEST", "PROCESSES", "LEFT OVER", "TROUBLE",
)  # fmt: skip


def _bad(machine: FleetMachine) -> tuple[int, int, int, int]:
    """How much a machine needs somebody: does it answer, its sick GPUs, findings, idle GPUs."""
    silent = 2 if machine.sampling is None else int(not machine.sampling)
    sick = machine.gpus_down or 0
    return (silent, sick, (machine.findings or 0) + (machine.xids or 0), machine.gpus_idle or 0)


def _down(value: float | None) -> float:
    return float("inf") if value is None else -value


_ORDERS: dict[str, Callable[[FleetMachine], object]] = {
    "trouble": lambda it: tuple(-part for part in _bad(it)),
    "name": lambda it: it.instance,
    "free": lambda it: _down(it.gpus_free),
    "util": lambda it: _down(it.utilization_ratio),
    "memory": lambda it: _down(it.memory_ratio),
    "power": lambda it: _down(it.power_watts),
}
ORDERS = tuple(_ORDERS)


def ordered(machines: Sequence[FleetMachine], by: str) -> tuple[FleetMachine, ...]:
    """The machines in one of ORDERS; equal ones by name."""
    key = _ORDERS[by]
    return tuple(sorted(machines, key=lambda it: (key(it), it.instance)))


def table(machines: Sequence[FleetMachine]) -> Table:
    """One row for each machine."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title in _COLUMNS:
        words = title in ("MACHINE", "TROUBLE")
        grid.add_column(title, justify="left" if words else "right", no_wrap=title != "TROUBLE")
    for it in machines:
        grid.add_row(
            safe(it.instance),
            count(it.gpus),
            count(it.gpus_free),
            percent(it.utilization_ratio),
            percent(it.memory_ratio),
            watts(it.power_watts),
            celsius(it.hottest_celsius),
            count(it.processes),
            data_size(it.orphans_memory_bytes),
            Text(", ".join(it.troubles), style="red" if any(_bad(it)[:3]) else "yellow"),
        )
    return grid


def total(fleet: Fleet) -> str:
    """The fleet in one line."""
    seen = [it for it in fleet.machines if it.sampling]
    gpus = sum(it.gpus or 0 for it in fleet.machines)
    free = sum(it.gpus_free or 0 for it in fleet.machines)
    held = sum(it.orphans_memory_bytes or 0 for it in fleet.machines)
    power = sum(it.power_watts or 0 for it in fleet.machines)
    return (
        f"{len(seen)} of {len(fleet.machines)} machines answer; {gpus} GPUs, {free} free;"
        f" {watts(power)}; {data_size(held)} held by what is left over"
    )

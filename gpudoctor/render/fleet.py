"""The table of `gpudoctor fleet`."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from gpudoctor.model.fleet import FleetMachine
from gpudoctor.present import fleet
from gpudoctor.render.text import safe
from gpudoctor.units import celsius, count, data_size, percent, watts

_COLUMNS = (
    "MACHINE", "GPUS", "FREE", "UTIL", "MEM", "POWER", "HOTTEST", "PROCESSES", "LEFT OVER", "TROUBLE",
)  # fmt: skip


def ordered(machines: Sequence[FleetMachine], by: str) -> tuple[FleetMachine, ...]:
    """The machines by one of fleet.SORT_KEYS; equal ones by name."""
    return fleet.ordered(machines, fleet.natural(by))


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
            Text(", ".join(it.troubles), style="red" if any(fleet.severity(it)[:3]) else "yellow"),
        )
    return grid

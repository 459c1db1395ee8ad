"""The table of `gpudoctor ps`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Literal

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.selection import sm_ratio, unlisted
from gpudoctor.model.snapshot import DeviceState, Snapshot
from gpudoctor.render.text import safe
from gpudoctor.units import UNKNOWN, age, data_size, percent, text

_INTERPRETER = ("python", "pypy")
# Title, side, and the least width of the screen at which the column is shown.
_COLUMNS: tuple[tuple[str, Literal["left", "right"], int], ...] = (
    ("GPU", "left", 0),
    ("PID", "right", 0),
    ("USER", "left", 0),
    ("TYPE", "left", 110),
    ("GPU MEM", "right", 0),
    ("SM", "right", 0),
    ("CPU", "right", 90),
    ("HOST MEM", "right", 100),
    ("AGE", "right", 0),
)


def table(
    snapshot: Snapshot, rows: Sequence[GpuProcess], *, width: int
) -> Iterator[RenderableType]:
    """The devices in one line each, the processes, and the memory that nobody holds."""
    yield _devices(snapshot)
    missing = unlisted(snapshot)
    if not rows and not missing:
        yield Text("No process is on a GPU.", style="dim")
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title, side, _ in _shown(width):
        grid.add_column(title, justify=side, no_wrap=True)
    grid.add_column("COMMAND", no_wrap=width >= 120, overflow="ellipsis", ratio=1)
    for row in rows:
        cells = _cells(row, snapshot.taken_at)
        shown = [cells[title] for title, _, _ in _shown(width)]
        grid.add_row(*shown, safe(command_of(row)), style=None if row.visible else "dim")
    for gap in missing:
        known = {"GPU": str(gap.index), "GPU MEM": data_size(gap.memory_used_bytes)}
        grid.add_row(
            *[known.get(title, UNKNOWN) for title, _, _ in _shown(width)],
            "in use, but no listed process holds it (see: fuser -v /dev/nvidia*)",
            style="yellow",
        )
    yield grid


def _devices(snapshot: Snapshot) -> Table:
    grid = Table.grid(padding=(0, 2))
    for device in snapshot.devices:
        name = Text(f"GPU {device.index}  ") + safe(device.facts.name)
        if device.state is not DeviceState.OK:
            grid.add_row(name, Text(f"{device.state}: ", style="red") + safe(device.error or ""))
            continue
        memory = device.memory
        grid.add_row(
            name,
            f"{data_size(memory.used_bytes)} of {data_size(memory.total_bytes)}",
            f"{percent(device.utilization.gpu_ratio)} busy",
            "MIG" if device.mig.enabled else "",
        )
    return grid


def _shown(width: int) -> tuple[tuple[str, Literal["left", "right"], int], ...]:
    return tuple(column for column in _COLUMNS if width >= column[2])


def _cells(row: GpuProcess, at: float) -> dict[str, RenderableType]:
    return {
        "GPU": ",".join(dict.fromkeys(_place(use) for use in row.gpus)),
        "PID": str(row.pid),
        "USER": safe(text(row.user)),
        "TYPE": ",".join(dict.fromkeys(use.kind for use in row.gpus)),
        "GPU MEM": data_size(row.memory_used_bytes),
        "SM": percent(sm_ratio(row)),
        "CPU": percent(row.cpu_ratio),
        "HOST MEM": data_size(row.host_memory_used_bytes),
        "AGE": age(None if row.started is None else at - row.started),
    }


def _place(use: GpuUse) -> str:
    """`3`, or `3:1` in GPU instance 1 of a GPU in MIG mode."""
    return str(use.index) if use.gpu_instance is None else f"{use.index}:{use.gpu_instance}"


def command_of(row: GpuProcess) -> str:
    """The command line without the interpreter's folder; says so where the process is not visible."""
    if not row.visible:
        return "not visible from here: another container's or another machine's namespace"
    if not row.command:
        return f"[{row.name or UNKNOWN}]"
    first = row.command[0].rpartition("/")[2]
    shown = first if first.startswith(_INTERPRETER) else row.command[0]
    state = "" if row.state in (None, "running", "sleeping", "idle") else f"({row.state}) "
    return state + shlex.join((shown, *row.command[1:]))

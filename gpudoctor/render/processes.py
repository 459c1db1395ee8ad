"""The table of `gpudoctor ps`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Literal

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpudoctor.model.listing import ListedProcess, Listing
from gpudoctor.model.parked import Parked
from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.selection import Unlisted, memory_ratio, sm_ratio
from gpudoctor.model.snapshot import DeviceState, Snapshot
from gpudoctor.model.tree import Branch, flat, tree
from gpudoctor.render.text import safe
from gpudoctor.units import UNKNOWN, age, data_size, percent, text

_INTERPRETER = ("python", "pypy")
_ORDINARY = (None, "running", "sleeping", "idle")
_MOST_HOLDERS = 8
_INDENT = "  "
_LONGEST_LAUNCHER = 32
_ONE_LINE_FROM = 120
_GAP = "yellow"
_MOST_ABOVE = 4
Cells = dict[str, RenderableType]
# Title, side, and the least width of the screen at which the column is shown.
_COLUMNS: tuple[tuple[str, Literal["left", "right"], int], ...] = (
    ("GPU", "left", 0),
    ("PID", "right", 0),
    ("IN PID", "right", 90),
    ("USER", "left", 0),
    ("TYPE", "left", 110),
    ("GPU MEM", "right", 0),
    ("SM", "right", 0),
    ("MEM BUSY", "right", 130),
    ("CPU", "right", 90),
    ("HOST MEM", "right", 100),
    ("AGE", "right", 0),
    ("STATE", "left", 150),
    ("LAUNCHER", "left", 120),
)


def table(
    snapshot: Snapshot, listing: Listing, *, width: int, as_tree: bool = False
) -> Iterator[RenderableType]:
    """The devices in one line each, the processes, the parked ones, and memory that nobody holds."""
    yield _devices(snapshot)
    if not listing.processes and not listing.parked and not listing.unlisted:
        words = "No process matches." if snapshot.processes else "No process is on a GPU."
        yield Text(words, style="dim")
        return
    columns = _shown(listing.processes, width)
    titles = [title for title, _, _ in columns]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title, side, _ in columns:
        most = _LONGEST_LAUNCHER if title == "LAUNCHER" else None
        grid.add_column(title, justify=side, no_wrap=True, max_width=most)
    # Columns that wrap are narrowed first: so this one is, and its cells are then cut to one line.
    grid.add_column("COMMAND", ratio=1)
    branches = tree(listing.processes) if as_tree else flat(listing.processes)
    for cells, command, style in _rows(branches, listing, snapshot.taken_at, "STATE" in titles):
        if width >= _ONE_LINE_FROM and style != _GAP:
            command.no_wrap, command.overflow = True, "ellipsis"
        grid.add_row(*[cells.get(title, UNKNOWN) for title in titles], command, style=style)
    yield grid


def _rows(
    branches: Sequence[Branch], listing: Listing, at: float, with_state: bool
) -> Iterator[tuple[Cells, Text, str | None]]:
    for branch in branches:
        indent = _INDENT * branch.depth
        if branch.process is None:
            start = "… › " if len(branch.path) > _MOST_ABOVE else ""
            nearest = branch.path[-_MOST_ABOVE:]
            names = start + " › ".join(f"{one.name} {one.pid}" for one in nearest)
            yield _blank(), safe(indent + names), "dim"
            continue
        row = branch.process
        command = command_of(row, with_state=not with_state)
        yield _cells(row, at), safe(indent + command), None if row.visible else "dim"
    for record in listing.parked:
        yield _parked(record, at)
    for gap in listing.unlisted:
        yield from _gap(gap)


def _blank() -> Cells:
    return {title: "" for title, _, _ in _COLUMNS}


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


def _shown(
    rows: Sequence[ListedProcess], width: int
) -> tuple[tuple[str, Literal["left", "right"], int], ...]:
    # These two are there only where some process has something for them.
    needed = {"IN PID": any(row.pid_in_container for row in rows)}
    needed["LAUNCHER"] = any(row.launchers for row in rows)
    return tuple(
        column for column in _COLUMNS if width >= column[2] and needed.get(column[0], True)
    )


def _cells(row: ListedProcess, at: float) -> Cells:
    return {
        "GPU": ",".join(dict.fromkeys(_place(use) for use in row.gpus)),
        "PID": str(row.pid),
        "IN PID": text(row.pid_in_container),
        "USER": safe(text(row.user)),
        "TYPE": ",".join(dict.fromkeys(use.kind for use in row.gpus)),
        "GPU MEM": data_size(row.memory_used_bytes),
        "SM": percent(sm_ratio(row)),
        "MEM BUSY": percent(memory_ratio(row)),
        "CPU": percent(row.cpu_ratio),
        "HOST MEM": data_size(row.host_memory_used_bytes),
        "AGE": age(None if row.started is None else at - row.started),
        "STATE": Text(text(row.state), style="" if row.state in _ORDINARY else "yellow"),
        "LAUNCHER": safe(launcher_of(row)),
    }


def _parked(record: Parked, at: float) -> tuple[Cells, Text, str]:
    cells: Cells = {
        "GPU": ",".join(str(share.index) for share in record.gpus) or UNKNOWN,
        "PID": str(record.pid),
        "USER": safe(text(record.user)),
        "TYPE": "parked",
        "GPU MEM": data_size(0 if record.confirmed else None),
        "STATE": "parked",
    }
    held = data_size(record.memory_used_bytes)
    since = age(at - record.parked_at)
    sure = "parked" if record.confirmed else "perhaps parked"
    words = shlex.join(record.command) if record.command else f"[{record.name}]"
    return cells, safe(f"({sure} for {since}, {held} in host memory) {words}"), "cyan"


def _gap(gap: Unlisted) -> Iterator[tuple[Cells, Text, str]]:
    cells: Cells = {"GPU": str(gap.index), "GPU MEM": data_size(gap.memory_used_bytes)}
    yield cells, Text(_gap_text(gap)), _GAP
    for one in (gap.holders or ())[:_MOST_HOLDERS]:
        row = _blank() | {"GPU": str(gap.index), "PID": str(one.pid), "USER": safe(text(one.user))}
        words = shlex.join(one.command) if one.command else f"[{one.name}]"
        yield row, safe(f"{_INDENT}has GPU {gap.index} open: {words}"), _GAP
    rest = len(gap.holders or ()) - _MOST_HOLDERS
    if rest > 0:
        yield _blank(), Text(f"{_INDENT}and {rest} more"), _GAP


def _gap_text(gap: Unlisted) -> str:
    start = "in use, but no listed process holds it"
    if gap.holders is None:
        return f"{start} (see: fuser -v /dev/nvidia*)"
    if gap.holders:
        return f"{start}; likely:"
    if gap.all_seen:
        return f"{start}, and no other process that we can see has the GPU open"
    return f"{start}; other users' open files are seen by root alone"


def _place(use: GpuUse) -> str:
    """`3`, or `3:1` in GPU instance 1 of a GPU in MIG mode."""
    return str(use.index) if use.gpu_instance is None else f"{use.index}:{use.gpu_instance}"


def launcher_of(row: ListedProcess) -> str:
    """Who launched it, the nearest first."""
    if not row.launchers:
        return UNKNOWN
    return " in ".join(f"{one.kind} {one.name}" for one in row.launchers)


def command_of(row: GpuProcess, *, with_state: bool = True) -> str:
    """The command line without the interpreter's folder; says so where the process is not visible.

    `with_state`: an unusual state of the process goes in front.
    """
    if not row.visible:
        return "not visible from here: ended, or another container's, machine's or user's"
    if not row.command:
        return f"[{row.name or UNKNOWN}]"
    first = row.command[0].rpartition("/")[2]
    shown = first if first.startswith(_INTERPRETER) else row.command[0]
    state = "" if not with_state or row.state in _ORDINARY else f"({row.state}) "
    return state + shlex.join((shown, *row.command[1:]))

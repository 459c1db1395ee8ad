"""The lines about the machine as a whole."""

from __future__ import annotations

import time

from gpudoctor import units
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level

# With its blank.
_LEAST_BAR = 8


def title_cells(
    snapshot: Snapshot | None, paused: bool = False, note: str = ""
) -> tuple[Cell, ...]:
    """What machine this is, when it was seen, and whether it is a real one.

    `note` says where the readings come from, where that is not the driver itself.
    """
    if snapshot is None:
        return (Cell("gpudoctor"), Cell("waiting for the first answer …", Level.DIM))
    cells = [Cell("gpudoctor", Level.GOOD), Cell(units.printable(snapshot.host.hostname))]
    cells.append(Cell(f"driver {units.text(snapshot.driver.version)}"))
    cells.append(Cell(f"CUDA {units.version_pair(snapshot.driver.cuda_version)}"))
    if snapshot.source == "demo":
        cells.append(Cell("SIMULATED", Level.WARN))
    elif snapshot.source == "replay":
        cells.append(Cell("REPLAY", Level.NOTICE))
    if paused:
        cells.append(Cell("PAUSED", Level.WARN))
    if note:
        cells.append(Cell(note, Level.DIM))
    cells.append(Cell(time.strftime("%H:%M:%S", time.localtime(snapshot.taken_at))))
    return tuple(cells)


def source_note(via_daemon: bool, reach_s: float | None) -> str:
    """Whether a daemon is asked, and how far back its recordings reach; empty where neither is so."""
    parts = ["via daemon"] if via_daemon else []
    if reach_s is not None and reach_s >= 60:
        minutes = int(reach_s // 60)
        parts.append(f"{minutes} min" if minutes < 60 else f"{minutes // 60} h")
        parts[-1] += " of history"
    return " · ".join(parts)


def host_cells(snapshot: Snapshot | None, width: int | None = None) -> tuple[Cell, ...]:
    """CPU, memory and load of the host; in `width` characters what fits without being cut."""
    if snapshot is None:
        return ()
    host = snapshot.host
    used, total = host.memory_used_bytes, host.memory_total_bytes
    ratio = used / total if used is not None and total else None
    level = Level.WARN if ratio is not None and ratio >= 0.9 else Level.PLAIN
    memory = f"{units.data_size(used)} of {units.data_size(total)}"
    load = units.UNKNOWN
    if host.load_average is not None:
        load = " ".join(f"{value:.1f}" for value in host.load_average)
    cpus, busy = f"{units.count(host.cpu_count)} CPUs", f"{units.percent(host.cpu_ratio):>4}"
    share = Cell(units.percent(ratio), level)
    last_minute = load.partition(" ")[0]
    ways = (
        _host_line(cpus, Cell(busy, bar=host.cpu_ratio), Cell(memory, level, ratio), load),
        _host_line(cpus, Cell(busy, bar=host.cpu_ratio), Cell(memory, level), load),
        _host_line(cpus, Cell(busy, bar=host.cpu_ratio), share, load),
        _host_line(cpus, Cell(busy), share, last_minute),
    )
    if width is None:
        return ways[0]
    return next((one for one in ways if _room(one) <= width), ways[-1])


def _host_line(cpus: str, busy: Cell, memory: Cell, load: str) -> tuple[Cell, ...]:
    return (
        Cell(cpus, Level.DIM),
        busy,
        Cell("RAM", Level.DIM),
        memory,
        Cell("load", Level.DIM),
        Cell(load),
    )


def _room(line: tuple[Cell, ...]) -> int:
    """The least that a line of labels and values needs."""
    bars = sum(_LEAST_BAR for cell in line if cell.bar is not None)
    return sum(len(cell.text) for cell in line) + bars + (len(line) // 2) * 3 - 2

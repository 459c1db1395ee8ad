"""The lines about the machine as a whole."""

from __future__ import annotations

import time

from gpudoctor import units
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level


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


def host_cells(snapshot: Snapshot | None) -> tuple[Cell, ...]:
    """CPU, memory and load of the host; the first two with bars."""
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
    return (
        Cell(f"{units.count(host.cpu_count)} CPUs", Level.DIM),
        Cell(f"{units.percent(host.cpu_ratio):>4}", bar=host.cpu_ratio),
        Cell("RAM", Level.DIM),
        Cell(memory, level, ratio),
        Cell("load", Level.DIM),
        Cell(load),
    )

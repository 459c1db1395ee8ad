"""The lines about the machine as a whole."""

from __future__ import annotations

import time

from gpudoctor import units
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level


def title_cells(snapshot: Snapshot | None, paused: bool = False) -> tuple[Cell, ...]:
    """What machine this is, when it was seen, and whether it is a real one."""
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
    cells.append(Cell(time.strftime("%H:%M:%S", time.localtime(snapshot.taken_at))))
    return tuple(cells)


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

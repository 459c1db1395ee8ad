"""The machine as one frame of text, for pipes and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from rich.cells import cell_len

from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present import devices, processes
from gpudoctor.present.cells import Cell, Level, Row
from gpudoctor.present.columns import GAP, Column, place
from gpudoctor.present.glyphs import Glyphs, bar, fitted
from gpudoctor.present.host import host_cells, title_cells
from gpudoctor.present.remarks import remarks

Style = Callable[[str, Level], str]
_Part = TypeVar("_Part")
_BAR_WIDTH = 10
# A verdict takes longer to reach than one look.
_JUDGED = next(at for at, column in enumerate(processes.COLUMNS) if column.key == "verdict")


def unstyled(text: str, _level: Level) -> str:
    """Text without colours, for files."""
    return text


def overview(snapshot: Snapshot, set_: Glyphs, width: int = 120, style: Style = unstyled) -> str:
    """Title, host, GPUs, remarks and processes; tables are at most `width` characters wide.

    Processes are sorted by GPU memory; all are listed.
    """
    rows = [
        _unjudged(processes.process_row(process, snapshot.taken_at))
        for process in processes.ordered(snapshot.processes, processes.Order())
    ]
    lines = [
        _line(title_cells(snapshot), set_, style),
        _line(host_cells(snapshot), set_, style),
        "",
        *_table(devices.COLUMNS, devices.device_rows(snapshot), set_, width, style),
        "",
    ]
    found = [style(set_.text(f"! {item.text}"), item.level) for item in remarks(snapshot)]
    lines += [*found, ""] if found else []
    lines += (
        _table(_without(processes.COLUMNS), rows, set_, width, style)
        if rows
        else ["No process uses a GPU."]
    )
    return "\n".join(line.rstrip() for line in lines)


def _without(parts: tuple[_Part, ...]) -> tuple[_Part, ...]:
    return (*parts[:_JUDGED], *parts[_JUDGED + 1 :])


def _unjudged(row: Row) -> Row:
    return replace(row, cells=_without(row.cells))


def _table(
    columns: Sequence[Column], rows: Sequence[Row], set_: Glyphs, width: int, style: Style
) -> list[str]:
    places = place(columns, width)
    gap = " " * GAP
    titles = (
        fitted(set_.text(spot.column.title), spot.width, set_, right=spot.column.right)
        for spot in places
    )
    lines = [style(gap.join(titles), Level.DIM)]
    for row in rows:
        parts = []
        for spot in places:
            shown = row.cells[spot.position]
            text = _cell(shown, spot.width, set_, right=spot.column.right)
            parts.append(style(text, Level.DIM if row.faded else shown.level))
        lines.append(gap.join(parts))
    return lines


def _cell(cell: Cell, width: int, set_: Glyphs, *, right: bool) -> str:
    text = set_.text(cell.text)
    room = width - cell_len(text) - 1
    if cell.bar is None or room < 3:
        return fitted(text, width, set_, right=right)
    return "".join(bar(cell.bar, room, set_)) + " " + text


def _line(cells: Sequence[Cell], set_: Glyphs, style: Style) -> str:
    out = []
    for cell in cells:
        drawn = "" if cell.bar is None else "".join(bar(cell.bar, _BAR_WIDTH, set_)) + " "
        out.append(style(drawn + set_.text(cell.text), cell.level))
    return "  ".join(out)

"""Which columns a table shows in the width that there is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

GAP = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    `width` is the least it needs, in characters; `grow` its share of the room that is left, up to
    `most`; columns of a higher `rank` leave first when the table is too narrow.
    `claim` is what a column wants to be wider by for each rank before columns of that rank may stay.
    """

    key: str
    title: str
    width: int
    rank: int = 0
    grow: int = 0
    most: int = 10_000
    right: bool = False
    claim: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """A column that is shown: which cell of the row it shows, where, and how wide."""

    column: Column
    position: int
    x: int
    width: int


def place(
    columns: Sequence[Column], width: int, left_out: Collection[str] = ()
) -> tuple[Placed, ...]:
    """The columns that fit into `width` characters, with their places; none with a key in `left_out`."""
    shown = [(number, one) for number, one in enumerate(columns) if one.key not in left_out]
    while len(shown) > 1 and _needed([column for _, column in shown]) > width:
        worst = max(shown, key=lambda item: (item[1].rank, item[0]))
        shown.remove(worst)
    widths = _grown([column for _, column in shown], width)
    placed, x = [], 0
    for (position, column), wide in zip(shown, widths, strict=True):
        placed.append(Placed(column, position, x, wide))
        x += wide + GAP
    return tuple(placed)


def _needed(columns: Sequence[Column], *, claimed: bool = True) -> int:
    rank = max(column.rank for column in columns) if claimed else 0
    widths = sum(column.width + rank * column.claim for column in columns)
    return widths + GAP * (len(columns) - 1)


def _grown(columns: Sequence[Column], width: int) -> list[int]:
    widths = [column.width for column in columns]
    spare = width - _needed(columns, claimed=False)
    while spare > 0:
        open_ = [i for i, column in enumerate(columns) if column.grow and widths[i] < column.most]
        if not open_:
            break
        shares = sum(columns[i].grow for i in open_)
        given = 0
        for i in open_:
            room = columns[i].most - widths[i]
            more = min(room, max(1, spare * columns[i].grow // shares), spare - given)
            widths[i] += more
            given += more
        spare -= given
    return widths

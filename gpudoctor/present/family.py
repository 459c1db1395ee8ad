"""The table of processes as a tree: each below what launched it, parts of it folded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gpudoctor import units
from gpudoctor.model.listing import Above, Origin, listed
from gpudoctor.model.process import GpuProcess, ProcessKey
from gpudoctor.model.tree import Branch, tree
from gpudoctor.present.cells import Cell, Level, Row, cell
from gpudoctor.present.processes import COLUMNS, row_key

Families = Mapping[ProcessKey, tuple[Above, ...]]
# More of a path than this is not told: a login lies many shells and multiplexers deep.
_MOST_ABOVE = 2
_GREY = "@above"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tree: a process on a GPU, or (`path`) those above it that are not, top first.

    `members` are the keys of all processes that it is or that are below it, `guide` the lines drawn
    before its command, `parent` the key of the line that it is below.
    """

    key: str
    guide: str
    members: frozenset[str]
    process: GpuProcess | None = None
    path: tuple[Above, ...] = ()
    parent: str | None = None
    folds: bool = False
    folded: bool = False


def family_lines(
    rows: Sequence[GpuProcess], families: Families, folded: Collection[str] = ()
) -> tuple[Line, ...]:
    """The tree of these processes, in their order among those of one parent; without what is folded."""
    known = {row_key(row): row for row in rows}
    branches = _in_order(
        tree([listed(row, Origin(), families.get(row.key)) for row in rows]), list(known)
    )
    keys = [_key(branch) for branch in branches]
    ends = _ends(branches)
    lines: list[Line] = []
    above: list[int] = []
    # Below a folded line nothing is shown until the tree is as shallow as that line again.
    hidden_from: int | None = None
    for number, branch in enumerate(branches):
        del above[branch.depth :]
        end = ends[number]
        shut = keys[number] in folded and end > number + 1
        if hidden_from is None or branch.depth <= hidden_from:
            hidden_from = branch.depth if shut else None
            lines.append(
                Line(
                    keys[number],
                    _guide(branches, ends, [*above, number]),
                    frozenset(key for key in keys[number:end] if not key.endswith(_GREY)),
                    known.get(keys[number]),
                    branch.path,
                    keys[above[-1]] if above else None,
                    end > number + 1,
                    shut,
                )
            )
        above.append(number)
    return tuple(lines)


def family_row(line: Line, row: Row | None, members: Sequence[GpuProcess]) -> Row:
    """The line as a row of the table; `row` is its process's own, None where it is on no GPU."""
    mark = ""
    if line.folds:
        hidden = len(line.members) - (line.process is not None)
        mark = f"▸ +{hidden} " if line.folded else "▾ "
    if row is not None:
        *cells, command = row.cells
        return replace(row, cells=(*cells, replace(command, text=line.guide + mark + command.text)))
    nearest = line.path[-1]
    texts = {"pid": Cell(str(nearest.pid), Level.DIM)}
    if line.folded:
        texts["memory"] = cell(units.gibibytes(_sum(members), 2))
    texts["command"] = Cell(line.guide + mark + _path(line.path), Level.DIM)
    blank = Cell("")
    return Row(line.key, tuple(texts.get(column.key, blank) for column in COLUMNS), faded=True)


def _sum(members: Sequence[GpuProcess]) -> int | None:
    held = [one.memory_used_bytes for one in members]
    return None if None in held else sum(one for one in held if one is not None)


def _path(path: Sequence[Above]) -> str:
    """The nearest first: it says most, and the column may be narrow."""
    nearest, *upper = reversed(path)
    names = [f" ‹ {one.name} {one.pid}" for one in upper[:_MOST_ABOVE]]
    end = " ‹ …" if len(upper) > _MOST_ABOVE else ""
    words = " ".join(nearest.command) or f"[{nearest.name}]"
    return units.printable(words + "".join(names) + end)


def _key(branch: Branch) -> str:
    if branch.process is not None:
        return row_key(branch.process)
    return f"{branch.path[-1].pid}{_GREY}"


def _in_order(branches: Sequence[Branch], order: Sequence[str]) -> list[Branch]:
    """Whole trees, that of the first process first, whether or not its root is on a GPU."""
    place = {key: number for number, key in enumerate(order)}
    roots = [number for number, branch in enumerate(branches) if branch.depth == 0]
    trees = [branches[first:end] for first, end in pairwise((*roots, len(branches)))]
    trees.sort(key=lambda one: min(place.get(_key(branch), len(place)) for branch in one))
    return [branch for one in trees for branch in one]


def _ends(branches: Sequence[Branch]) -> list[int]:
    """For each branch, where those below it end."""
    ends = [len(branches)] * len(branches)
    open_: list[int] = []
    for number, branch in enumerate(branches):
        while open_ and branches[open_[-1]].depth >= branch.depth:
            ends[open_.pop()] = number
        open_.append(number)
    return ends


def _guide(branches: Sequence[Branch], ends: Sequence[int], way: Sequence[int]) -> str:
    def goes_on(number: int) -> bool:
        """Whether a later one has the same parent."""
        end = ends[number]
        return end < len(branches) and branches[end].depth == branches[number].depth

    parts = ["│  " if goes_on(number) else "   " for number in way[1:-1]]
    if len(way) > 1:
        parts.append("├─ " if goes_on(way[-1]) else "└─ ")
    return "".join(parts)

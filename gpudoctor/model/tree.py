"""Processes below what launched them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from gpudoctor.model.listing import Above, ListedProcess
from gpudoctor.model.values import Value


class Branch(Value, frozen=True):
    """One line of the tree: a process on a GPU, or (`path`) those above it that are not, top first."""

    depth: int
    process: ListedProcess | None = None
    path: tuple[Above, ...] = ()


def flat(rows: Iterable[ListedProcess]) -> tuple[Branch, ...]:
    """The rows as they are, without a tree."""
    return tuple(Branch(0, row) for row in rows)


def tree(rows: Sequence[ListedProcess]) -> tuple[Branch, ...]:
    """Each row below its ancestors; ancestors with one child that is no row either share a line."""
    return _Tree(rows).branches()


class _Tree:
    def __init__(self, rows: Sequence[ListedProcess]) -> None:
        self._rows = {row.pid: row for row in rows}
        self._above = {one.pid: one for row in rows for one in row.above or ()}
        self._parents: dict[int, int] = {}
        for row in rows:
            for pid, parent in pairwise((row.pid, *(one.pid for one in row.above or ()))):
                self._link(pid, parent)
        self._children: dict[int, list[int]] = {}
        for pid, parent in self._parents.items():
            self._children.setdefault(parent, []).append(pid)
        nodes = dict.fromkeys((*self._rows, *self._children))
        self._roots = [pid for pid in nodes if pid not in self._parents]

    def _link(self, pid: int, parent: int) -> None:
        """The first word on who is above whom counts: pids change hands while they are read."""
        above: int | None = parent
        while above is not None and above != pid:
            above = self._parents.get(above)
        if above is None:
            self._parents.setdefault(pid, parent)

    def branches(self) -> tuple[Branch, ...]:
        return tuple(branch for root in self._roots for branch in self._below(root, 0))

    def _below(self, pid: int, depth: int) -> Iterator[Branch]:
        row = self._rows.get(pid)
        if row is not None:
            yield Branch(depth, row)
        else:
            path = [self._above[pid]]
            while (below := self._only_child_above(pid)) is not None:
                pid = below
                path.append(self._above[pid])
            yield Branch(depth, None, tuple(path))
        for child in self._children.get(pid, ()):
            yield from self._below(child, depth + 1)

    def _only_child_above(self, pid: int) -> int | None:
        """The only child, where it is no row either."""
        children = self._children.get(pid, [])
        return children[0] if len(children) == 1 and children[0] not in self._rows else None

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
        self._children: dict[int, list[int]] = {}
        self._roots: list[int] = []
        for row in rows:
            self._link(row)

    def _link(self, row: ListedProcess) -> None:
        line = (row.pid, *(one.pid for one in row.above or ()))
        for pid, parent in pairwise(line):
            siblings = self._children.setdefault(parent, [])
            if pid in siblings:
                return
            siblings.append(pid)
        if line[-1] not in self._roots:
            self._roots.append(line[-1])

    def branches(self) -> tuple[Branch, ...]:
        return tuple(branch for root in self._roots for branch in self._below(root, 0))

    def _below(self, pid: int, depth: int) -> Iterator[Branch]:
        row = self._rows.get(pid)
        if row is not None:
            yield Branch(depth, row)
        else:
            path = [self._above[pid]]
            while len(children := self._children[pid]) == 1 and children[0] not in self._rows:
                pid = children[0]
                path.append(self._above[pid])
            yield Branch(depth, None, tuple(path))
        for child in self._children.get(pid, ()):
            yield from self._below(child, depth + 1)

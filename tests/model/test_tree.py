"""The tree of processes below their launchers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.model.listing import Above, ListedProcess, Origin, listed
from gpudoctor.model.tree import flat, tree
from tests.builders import process


def row(pid: int, *above: int) -> ListedProcess:
    return listed(process(pid), Origin(), tuple(Above(one, f"p{one}") for one in above))


def drawn(*rows: ListedProcess) -> list[tuple[int, int | tuple[int, ...]]]:
    return [
        (b.depth, b.process.pid if b.process else tuple(one.pid for one in b.path))
        for b in tree(rows)
    ]


def test_a_process_without_ancestors_stands_alone():
    assert drawn(row(9)) == [(0, 9)]


def test_ancestors_with_one_child_share_a_line():
    assert drawn(row(9, 5, 3)) == [(0, (3, 5)), (1, 9)]


def test_ranks_stand_below_their_common_launcher():
    assert drawn(row(8, 5, 3), row(9, 5, 3)) == [(0, (3, 5)), (1, 8), (1, 9)]


def test_a_fork_gets_a_line_of_its_own():
    assert drawn(row(8, 5, 3), row(9, 6, 3)) == [
        (0, (3,)),
        (1, (5,)),
        (2, 8),
        (1, (6,)),
        (2, 9),
    ]


def test_a_process_below_another_one_is_indented():
    assert drawn(row(9, 8, 3), row(8, 3)) == [(0, (3,)), (1, 8), (2, 9)]


def test_every_row_is_there_once_also_without_a_tree():
    rows = (row(7), row(8, 5), row(9, 8, 5))
    assert [b.process.pid for b in flat(rows)] == [7, 8, 9]
    assert sorted(pid for _, pid in drawn(*rows) if isinstance(pid, int)) == [7, 8, 9]


def test_a_process_whose_ancestors_are_not_known_is_kept():
    unseen = listed(process(9, visible=False), Origin(), None)
    assert drawn(unseen, row(8, 5)) == [(0, 9), (0, (5,)), (1, 8)]


PIDS = st.integers(2, 12)


@given(st.lists(st.lists(PIDS, min_size=1, max_size=6, unique=True), max_size=6))
def test_whatever_was_read_every_process_has_exactly_one_line(chains):
    """Chains of different moments may contradict each other, even in a circle."""
    rows = {chain[0]: row(*chain) for chain in chains}
    shown = [pid for _, pid in drawn(*rows.values()) if isinstance(pid, int)]
    assert sorted(shown) == sorted(rows)


@given(st.dictionaries(st.integers(3, 12), PIDS, max_size=8), st.sets(st.integers(3, 12)))
def test_in_a_real_forest_each_process_stands_below_its_nearest_listed_ancestor(parents, wanted):
    parents = {pid: parent for pid, parent in parents.items() if parent < pid}

    def chain(pid: int) -> list[int]:
        return [pid, *chain(parents[pid])] if pid in parents else [pid]

    rows = {pid: row(*chain(pid)) for pid in wanted}
    stack: list[int | None] = []
    for depth, what in drawn(*rows.values()):
        del stack[depth:]
        stack.append(what if isinstance(what, int) else None)
        if isinstance(what, int):
            listed_above = [pid for pid in chain(what)[1:] if pid in rows]
            assert [pid for pid in stack[:-1] if pid is not None] == listed_above[::-1]

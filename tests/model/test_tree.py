"""The tree of processes below their launchers."""

from __future__ import annotations

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

from __future__ import annotations

import pytest

from gpudoctor.model.listing import Above
from gpudoctor.present.family import family_lines, family_row
from gpudoctor.present.processes import COLUMNS, process_row, row_key
from tests.builders import AT, GIB, process

SHELL = Above(50, "bash", ("-bash",))
LAUNCHER = Above(60, "torchrun", ("torchrun", "train.py"))
RANKS = (process(61, 0, 9 * GIB), process(62, 1, 8 * GIB), process(70, 2, 7 * GIB))
FAMILIES = {
    RANKS[0].key: (LAUNCHER, SHELL),
    RANKS[1].key: (LAUNCHER, SHELL),
    RANKS[2].key: (SHELL,),
}
FIRST, SECOND, OTHER = map(row_key, RANKS)


def shown(line, members=()):
    row = process_row(line.process, AT) if line.process else None
    made = family_row(line, row, members)
    return {column.key: cell.text for column, cell in zip(COLUMNS, made.cells, strict=True)}


def test_each_process_stands_below_what_launched_it():
    lines = family_lines(RANKS, FAMILIES)
    assert [line.key for line in lines] == ["50@above", "60@above", FIRST, SECOND, OTHER]
    assert [line.guide for line in lines] == ["", "├─ ", "│  ├─ ", "│  └─ ", "└─ "]
    assert [line.parent for line in lines] == [None, "50@above", "60@above", "60@above", "50@above"]
    assert lines[1].members == {FIRST, SECOND} and lines[0].members == {FIRST, SECOND, OTHER}


def test_a_folded_line_hides_what_is_below_it_and_says_how_much_it_holds():
    lines = family_lines(RANKS, FAMILIES, {"60@above"})
    assert [line.key for line in lines] == ["50@above", "60@above", OTHER]
    cells = shown(lines[1], RANKS[:2])
    assert cells["memory"] == "17.00"
    assert cells["command"] == "├─ ▸ +2 torchrun train.py"


def test_what_is_folded_within_a_folded_line_does_not_show_its_neighbours():
    lines = family_lines(RANKS, FAMILIES, {"50@above", "60@above"})
    assert [line.key for line in lines] == ["50@above"]


def test_the_sum_of_a_folded_line_is_unknown_where_one_part_is():
    (line,) = family_lines(RANKS, FAMILIES, {"50@above"})
    assert shown(line, (RANKS[0], process(62, used=None)))["memory"] == "–"


def test_a_process_that_launched_another_one_on_a_gpu_is_its_parent_and_keeps_its_cells():
    parent, child = process(100), process(101)
    lines = family_lines((parent, child), {child.key: (Above(100, "python"),)})
    assert [line.guide for line in lines] == ["", "└─ "]
    assert shown(lines[0])["command"] == "▾ python train.py"
    assert shown(lines[0])["user"] == "ana"
    (line,) = family_lines((parent, child), {child.key: (Above(100, "python"),)}, {row_key(parent)})
    assert shown(line)["command"] == "▸ +1 python train.py"


@pytest.mark.parametrize("first", [True, False])
def test_trees_stand_in_the_order_of_their_first_process(first):
    alone = process(10)
    rows = (alone, *RANKS) if first else (*RANKS, alone)
    keys = [line.key for line in family_lines(rows, FAMILIES)]
    assert keys.index(row_key(alone)) == (0 if first else 5)


def test_a_long_way_from_the_login_is_cut_and_begins_with_the_whole_command():
    way = (LAUNCHER, *(Above(50 - n, f"shell{n}") for n in range(6)))
    (line, _) = family_lines(RANKS[:1], {RANKS[0].key: way})
    assert shown(line)["command"] == "▾ torchrun train.py ‹ shell0 50 ‹ shell1 49 ‹ …"


def test_without_knowledge_of_parents_the_tree_is_the_list():
    assert [line.key for line in family_lines(RANKS, {})] == [FIRST, SECOND, OTHER]

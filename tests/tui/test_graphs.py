"""How the small graphs share the room that there is."""

from __future__ import annotations

import pytest

from gpudoctor.tui.widgets.graphs import Tiling, tile


def test_one_graph_takes_all_of_the_width():
    assert tile(1, 118, 20) == Tiling(across=1, width=118, height=14, down=1)


def test_a_tiling_without_a_hole_is_taken_before_a_wider_one_with_it():
    assert tile(8, 198, 26) == Tiling(across=4, width=48, height=13, down=2)


def test_graphs_that_are_much_too_narrow_are_not_taken_for_that():
    assert tile(5, 118, 16) == Tiling(across=3, width=38, height=8, down=2)


def test_where_all_have_holes_the_widest_is_taken():
    assert tile(7, 100, 24) == Tiling(across=3, width=32, height=8, down=3)


def test_low_graphs_are_better_than_none():
    assert tile(8, 118, 8) == Tiling(across=4, width=28, height=4, down=2)


@pytest.mark.parametrize("room", [(20, 30), (200, 3)], ids=["narrow", "low"])
def test_without_room_there_are_none(room):
    assert tile(8, *room) is None

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.present import devices, processes
from gpudoctor.present.columns import GAP, Column, place

TABLES = {"devices": devices.COLUMNS, "processes": processes.COLUMNS}


@pytest.mark.parametrize("name", TABLES)
@given(width=st.integers(80, 400))
def test_a_table_never_is_wider_than_the_terminal_and_its_columns_never_overlap(name, width):
    placed = place(TABLES[name], width - 2)
    assert placed[-1].x + placed[-1].width <= width - 2
    for before, after in itertools.pairwise(placed):
        assert before.x + before.width + GAP == after.x
    assert all(spot.width >= spot.column.width for spot in placed)


def test_what_a_person_asks_first_is_shown_at_eighty_columns():
    shown = {spot.column.key for spot in place(devices.COLUMNS, 78)}
    assert {"utilization", "memory", "power", "temperature", "clock", "users", "state"} <= shown
    assert {"pid", "user", "gpus", "memory", "cpu", "age", "command"} <= {
        spot.column.key for spot in place(processes.COLUMNS, 78)
    }


def test_a_wide_terminal_shows_every_column():
    assert len(place(devices.COLUMNS, 198)) == len(devices.COLUMNS)
    assert len(place(processes.COLUMNS, 198)) == len(processes.COLUMNS)


def test_the_column_of_the_highest_rank_leaves_first():
    columns = (Column("a", "A", 10), Column("b", "B", 10, rank=2), Column("c", "C", 10, rank=1))
    assert [spot.column.key for spot in place(columns, 32)] == ["a", "b", "c"]
    assert [spot.column.key for spot in place(columns, 31)] == ["a", "c"]
    assert [spot.column.key for spot in place(columns, 12)] == ["a"]


def test_a_cell_is_found_by_its_place_in_the_row_even_when_columns_before_it_are_hidden():
    columns = (Column("a", "A", 5, rank=1), Column("b", "B", 5))
    assert [spot.position for spot in place(columns, 6)] == [1]


def test_room_that_is_left_goes_to_the_growing_columns_up_to_their_most():
    columns = (Column("a", "A", 5, grow=1, most=8), Column("b", "B", 5, grow=1))
    assert [spot.width for spot in place(columns, 41)] == [8, 32]

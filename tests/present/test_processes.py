from __future__ import annotations

import pytest

from gpudoctor.model.process import GpuUse
from gpudoctor.present.cells import NOTHING
from gpudoctor.present.processes import (
    COLUMNS,
    SORT_KEYS,
    Order,
    gpu_list,
    matching,
    natural,
    ordered,
    process_row,
    row_key,
)
from tests.builders import AT, GIB, process, uuid_of


def uses(*indices, instance=None):
    return tuple(GpuUse(i, uuid_of(i), "compute", gpu_instance=instance) for i in indices)


@pytest.mark.parametrize(
    ("indices", "text"),
    [((), ""), ((3,), "3"), ((0, 1, 2, 3), "0-3"), ((0, 2, 3, 7), "0,2-3,7"), ((5, 4), "4-5")],
)
def test_gpus_are_listed_in_short_form(indices, text):
    assert gpu_list(uses(*indices)) == text


def test_a_mig_instance_is_named_with_its_gpu():
    assert gpu_list(uses(2, instance=7)) == "2:7"


def test_the_unknown_is_last_in_both_directions():
    rows = [process(1, used=None), process(2, used=GIB), process(3, used=2 * GIB)]
    assert [row.pid for row in ordered(rows, Order("memory", True))] == [3, 2, 1]
    assert [row.pid for row in ordered(rows, Order("memory", False))] == [2, 3, 1]


def test_equal_rows_keep_the_order_of_their_pids():
    rows = [process(3), process(1), process(2)]
    assert [row.pid for row in ordered(rows, Order("memory", True))] == [1, 2, 3]


@pytest.mark.parametrize("key", SORT_KEYS)
def test_every_sort_key_is_a_column_and_sorts_rows_that_know_nothing(key):
    assert key in {column.key for column in COLUMNS}
    bare = process(
        5,
        used=None,
        user=None,
        name=None,
        command=(),
        started=None,
        cpu_ratio=None,
        host_memory_used_bytes=None,
        gpus=(),
    )
    assert len(ordered([process(1), bare, process(2)], natural(key))) == 3


def test_the_oldest_is_first_when_sorted_by_age_downwards_and_last_upwards():
    old, young = process(1, started=AT - 900), process(2, started=AT - 5)
    assert [row.pid for row in ordered([old, young], Order("age", True))] == [1, 2]
    assert [row.pid for row in ordered([old, young], Order("age", False))] == [2, 1]


@pytest.mark.parametrize(
    ("query", "pids"),
    [
        ("", [1, 2, 3]),
        ("train", [1, 2]),
        ("TRAIN ben", [2]),
        ("user:an", [1]),
        ("gpu:1", [2]),
        ("gpu:", [1, 2, 3]),
        ("pid:3", [3]),
        ("nothing", []),
        ("a:b", [3]),
    ],
)
def test_every_word_of_the_filter_must_occur(query, pids):
    rows = [
        process(1, user="ana"),
        process(2, index=1, user="ben"),
        process(3, user=None, command=("serve", "a:b")),
    ]
    assert [row.pid for row in matching(rows, query)] == pids


def test_a_command_line_cannot_drive_the_terminal():
    row = process_row(process(command=("python", "\x1b]0;owned\x07")), AT)
    assert "\x1b" not in row.cells[-1].text


def test_a_process_that_is_not_visible_says_so():
    row = process_row(process(visible=False, command=(), name=None, user=None, started=None), AT)
    cells = dict(zip((column.key for column in COLUMNS), row.cells, strict=True))
    assert cells["user"] == NOTHING
    assert cells["age"] == NOTHING
    assert "not visible" in cells["command"].text


def test_a_reused_pid_is_another_row():
    assert row_key(process(7, started=1.0)) != row_key(process(7, started=2.0))

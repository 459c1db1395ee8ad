"""Filtering, sorting, and memory that nobody holds."""

from __future__ import annotations

import pytest

from gpudoctor.model.process import GpuUse
from gpudoctor.model.readings import MemoryReading
from gpudoctor.model.selection import SORTS, select, unlisted
from tests.builders import GIB, device, process, snapshot, uuid_of

ROWS = (
    process(1, 0, 5 * GIB, user="ana", command=("python", "a.py"), cpu_ratio=0.1),
    process(2, 1, None, user="ben", command=("python", "B.py"), cpu_ratio=None),
    process(3, 1, 9 * GIB, user="ana", command=("nginx",), cpu_ratio=0.9, visible=False),
)


def pids(*, sort: str = "gpu", **wanted) -> list[int]:
    return [row.pid for row in select(ROWS, sort=sort, **wanted)]


def test_without_a_wish_all_rows_come_by_gpu_and_pid():
    assert pids() == [1, 2, 3]


def test_rows_are_kept_by_user_by_gpu_and_by_a_part_of_the_command():
    assert pids(users=("ana",)) == [1, 3]
    assert pids(gpus=(1,)) == [2, 3]
    assert pids(name="b.PY") == [2]
    assert pids(users=("ana",), gpus=(1,)) == [3]


@pytest.mark.parametrize("sort", SORTS)
def test_a_row_without_the_value_is_kept(sort):
    assert sorted(pids(sort=sort)) == [1, 2, 3]


def test_the_largest_comes_first_and_the_unknown_last():
    assert pids(sort="memory") == [3, 1, 2]
    assert pids(sort="cpu") == [3, 1, 2]


def held(used: int, *rows):
    return snapshot(
        device(0, memory=MemoryReading(80 * GIB, used, 80 * GIB - used)), processes=rows
    )


def test_memory_that_no_process_holds_is_told():
    gaps = unlisted(held(20 * GIB, process(1, 0, 5 * GIB)))
    assert [(gap.index, gap.memory_used_bytes) for gap in gaps] == [(0, 15 * GIB)]


def test_what_the_driver_itself_uses_is_no_gap():
    assert unlisted(held(5 * GIB + GIB // 2, process(1, 0, 5 * GIB))) == ()


def test_a_process_of_unknown_memory_forbids_the_sum():
    assert unlisted(held(20 * GIB, process(1, 0, None))) == ()


def test_a_process_on_two_gpus_counts_on_each_with_its_own_share():
    both = process(1, 0, 10 * GIB)
    uses = (
        GpuUse(0, uuid_of(0), "compute", 4 * GIB),
        GpuUse(1, uuid_of(1), "compute", 6 * GIB),
    )
    from dataclasses import replace

    full = MemoryReading(80 * GIB, 6 * GIB, 74 * GIB)
    seen = snapshot(
        device(0, memory=full), device(1, memory=full), processes=(replace(both, gpus=uses),)
    )
    assert [(gap.index, gap.memory_used_bytes) for gap in unlisted(seen)] == [(0, 2 * GIB)]

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.model.pick import Wanted
from gpudoctor.model.readings import (
    HealthReading,
    MemoryReading,
    MigReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.sampling.free import choose
from tests.builders import GIB, device, process, snapshot, uuid_of


def gpu(index: int, free: int | None = 60, busy: float | None = 0.0, **changes):
    size = None if free is None else free * GIB
    memory = MemoryReading(80 * GIB, None, size)
    changes = {"memory": memory, "utilization": UtilizationReading(busy), **changes}
    return device(index, **changes)


def reasons(*looks, **wanted) -> dict[int, tuple[str, ...]]:
    answer = choose(looks, Wanted(**wanted))
    return {row.index: row.reasons for row in (*answer.picked, *answer.others)}


def test_uuids_are_the_value_and_indices_are_those_of_the_bus():
    first = replace(gpu(0), facts=replace(gpu(0).facts, pci_bus_id="00000000:F0:00.0"))
    look = snapshot(first, gpu(1), gpu(2))
    assert choose([look], Wanted(3)).value == f"{uuid_of(1)},{uuid_of(2)},{uuid_of(0)}"
    assert choose([look], Wanted(3), by_index=True).value == "0,1,2"
    taken = choose([look], Wanted(1, idle=True), by_index=True, allowed={uuid_of(0)})
    assert taken.value == "2"
    assert taken.picked[0].index == 0


def test_the_freest_come_first():
    rows = (gpu(0, busy=0.5), gpu(1, free=20), gpu(2, free=70), gpu(3, free=75))
    look = snapshot(*rows, processes=(process(index=3),))
    answer = choose([look], Wanted(4))
    assert [row.index for row in answer.picked] == [2, 1, 0, 3]


def test_a_gpu_must_be_free_in_every_look():
    quiet, busy = snapshot(gpu(0), gpu(1)), snapshot(gpu(0, busy=0.9), gpu(1, free=3))
    assert reasons(busy, quiet, count=1, busy_ratio=0.1, free_bytes=5 * GIB) == {
        0: ("90% busy, at most 10% wanted",),
        1: ("3.0 GiB free, 5.0 GiB wanted",),
    }


def test_a_process_that_came_and_went_is_still_counted():
    looks = [snapshot(gpu(0), processes=(process(),)), snapshot(gpu(0))]
    assert reasons(*looks, idle=True) == {0: ("1 process on it",)}


def test_a_display_does_not_make_a_gpu_busy():
    row = process()
    shown = replace(row, gpus=(replace(row.gpus[0], kind="graphics"),))
    assert reasons(snapshot(gpu(0), processes=(shown,)), idle=True) == {0: ()}


def test_what_is_not_known_is_not_enough_where_it_is_asked_for():
    look = snapshot(gpu(0, free=None, busy=None))
    assert reasons(look, free_bytes=1, busy_ratio=1.0) == {
        0: ("its free memory is not known", "how busy it is is not known")
    }
    assert reasons(look) == {0: ()}


def test_unfit_gpus_are_left_out_with_the_reason():
    look = snapshot(
        gpu(0, state=DeviceState.LOST, error="GPU is lost"),
        gpu(1, health=HealthReading(recovery_action="gpu reset")),
        gpu(2, health=HealthReading(compute_mode="prohibited")),
        gpu(3, health=HealthReading(compute_mode="exclusive process")),
        gpu(4, mig=MigReading(True)),
        gpu(5, state=DeviceState.STALE, stale_since=1.0),
        processes=(process(index=3),),
    )
    found = reasons(look)
    assert found[0] == ("lost: GPU is lost",)
    assert found[1] == ("the driver asks for: gpu reset",)
    assert found[2] == ("its compute mode is prohibited",)
    assert found[3] == ("in exclusive process mode, and taken",)
    assert found[4][0].startswith("in MIG mode")
    assert found[5] == ("stale",)


def test_gpus_that_are_hidden_already_stay_hidden():
    answer = choose([snapshot(gpu(0), gpu(1))], Wanted(), allowed={uuid_of(1)})
    assert [row.index for row in answer.picked] == [1]
    assert answer.others[0].reasons == ("hidden by CUDA_VISIBLE_DEVICES",)


def test_too_few_are_none_at_all():
    answer = choose([snapshot(gpu(0), gpu(1, busy=1.0))], Wanted(2, busy_ratio=0.5))
    assert (answer.value, answer.picked) == (None, ())
    assert len(answer.others) == 2


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 80)), st.one_of(st.none(), st.floats(0, 1))),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 8),
    st.integers(0, 80),
)
def test_whatever_is_picked_meets_the_wish(rows, count, least):
    look = snapshot(*(gpu(index, free, busy) for index, (free, busy) in enumerate(rows)))
    answer = choose([look], Wanted(count, least * GIB, 0.5))
    assert len(answer.picked) in (0, count)
    assert len(answer.picked) + len(answer.others) == len(rows)
    for row in answer.picked:
        assert (row.free_bytes or 0) >= least * GIB
        assert row.busy_ratio is not None
        assert row.busy_ratio <= 0.5

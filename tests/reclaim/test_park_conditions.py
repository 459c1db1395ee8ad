"""What stands in the way of parking: one wrong thing at a time on a process that could be parked."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from gpudoctor.model.condition import Standing, refused
from gpudoctor.model.lineage import Lineage
from gpudoctor.model.parked import Parked, Share
from gpudoctor.model.process import GpuUse, ProcessKey
from gpudoctor.model.readings import HealthReading, MemoryReading, MigReading
from gpudoctor.reclaim.park_conditions import Subject, park_conditions, unpark_conditions
from gpudoctor.reclaim.protection import Protection
from tests.builders import GIB, device, process, snapshot, uuid_of

CARD = device(0, health=HealthReading(persistence_mode=True))
ROW = process(100, used=10 * GIB)
LINEAGE = Lineage(
    key=ProcessKey(100, 1.0),
    start_ticks=1,
    name="python",
    state="S",
    parent_pid=1,
    group=100,
    session=100,
    terminal=False,
    cpu_seconds=1.0,
)
GOOD = Subject(
    process=LINEAGE,
    row=ROW,
    devices=(CARD,),
    driver="580.95.05",
    machine="x86_64",
    headroom_bytes=20 * GIB,
)


def standing(subject: Subject) -> dict[str, Standing]:
    return {one.id: one.standing for one in park_conditions(subject)}


def kind(name: str, **changes) -> Subject:
    use = GpuUse(0, uuid_of(0), name, 10 * GIB, **changes)
    return replace(GOOD, row=msgspec.structs.replace(ROW, gpus=(use,)))


def test_nothing_stands_in_the_way_of_an_ordinary_process():
    assert set(standing(GOOD).values()) == {Standing.OK}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("550.54.14", Standing.REFUSE),
        ("569.99", Standing.REFUSE),
        ("570.00", Standing.WARN),
        ("574.9", Standing.WARN),
        ("575.57.08", Standing.OK),
        ("610.1", Standing.OK),
        (None, Standing.REFUSE),
        ("Simulated", Standing.REFUSE),
    ],
)
def test_drivers_are_offered_warned_of_and_refused_by_their_version(version, expected):
    assert standing(replace(GOOD, driver=version))["driver"] is expected


WRONG = {
    "architecture": replace(GOOD, machine="aarch64"),
    "thread": replace(GOOD, is_thread=True),
    "gpu": replace(GOOD, row=None),
    "nccl": replace(GOOD, ranks=2),
    "host-memory": replace(GOOD, headroom_bytes=10 * GIB - 1),
    "protected": replace(GOOD, guard=Protection("daemon", "it belongs to the machine", "")),
    "mps": kind("mps"),
    "persistence": replace(
        GOOD, devices=(device(0, health=HealthReading(persistence_mode=False)),)
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_of_these_alone_refuses(name):
    assert [one.id for one in refused(park_conditions(WRONG[name]))] == [name]


@pytest.mark.parametrize("state", ["T", "t", "D", "Z"])
def test_a_process_that_cannot_take_part_is_refused(state):
    assert (
        standing(replace(GOOD, process=replace(LINEAGE, state=state)))["state"] is Standing.REFUSE
    )


def test_mig_mode_and_a_mig_instance_are_refused():
    card = device(0, mig=MigReading(enabled=True), health=HealthReading(persistence_mode=True))
    assert standing(replace(GOOD, devices=(card,)))["mig"] is Standing.REFUSE
    assert standing(kind("compute", gpu_instance=1))["mig"] is Standing.REFUSE


WARNED = {
    "mps": replace(GOOD, mps_server=True),
    "graphics": kind("graphics"),
    "children": replace(GOOD, holders_below=(101, 102)),
    "rights": replace(GOOD, may_enter_all=False),
}


@pytest.mark.parametrize("name", WARNED)
def test_each_of_these_warns_and_does_not_refuse(name):
    assert standing(WARNED[name])[name] is Standing.WARN
    assert refused(park_conditions(WARNED[name])) == ()


def test_one_rank_alone_is_no_obstacle():
    assert standing(replace(GOOD, ranks=1))["nccl"] is Standing.OK


def test_what_cannot_be_seen_is_unknown_and_not_fine():
    unseen = replace(
        GOOD,
        environment_read=False,
        headroom_bytes=None,
        devices=(device(0, health=HealthReading()),),
    )
    found = standing(unseen)
    for name in ("nccl", "host-memory", "persistence"):
        assert found[name] is Standing.UNKNOWN


RECORD = Parked(
    pid=100,
    start_ticks=1,
    boot_id="b",
    name="python",
    gpus=(Share(0, uuid_of(0), 10 * GIB),),
)


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10 * GIB, Standing.OK), (10 * GIB - 1, Standing.REFUSE), (None, Standing.UNKNOWN)],
)
def test_coming_back_needs_as_much_free_memory_as_was_held(free, expected):
    seen = snapshot(device(0, memory=MemoryReading(80 * GIB, 1, free)))
    found = {one.id: one.standing for one in unpark_conditions(RECORD, GOOD, seen)}
    assert found["room"] is expected


def test_coming_back_needs_the_gpu_itself():
    found = {one.id: one for one in unpark_conditions(RECORD, GOOD, snapshot(device(1)))}
    assert found["room"].standing is Standing.REFUSE
    assert "no longer there" in found["room"].text


def test_coming_back_needs_no_gpu_row_because_a_parked_process_has_none():
    seen = snapshot(device(0))
    parked = replace(GOOD, row=None, devices=())
    assert refused(unpark_conditions(RECORD, parked, seen)) == ()

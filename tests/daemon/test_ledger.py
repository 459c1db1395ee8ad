from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from gpudoctor.daemon.ledger import Ledger
from gpudoctor.model.snapshot import CollectorOutcome, GpuEvent
from tests.builders import AT, device, process, snapshot, uuid_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(clock):
    return Ledger(interval_s=1.0, deadline_s=3.0, process_rows=5, clock=clock)


def xid(code=79, at=AT):
    return GpuEvent(at, uuid_of(0), "xid", code)


def test_before_the_first_sample_there_is_nothing_fresh(ledger):
    assert ledger.view().snapshot is None
    assert not ledger.view().fresh


def test_readings_are_old_when_samples_stop_coming(ledger, clock):
    ledger.add(snapshot())
    clock.now += 5.9
    assert ledger.view().fresh
    clock.now += 0.2
    assert not ledger.view().fresh
    assert b"gpudoctor_gpu_power" not in ledger.metrics()
    ledger.add(snapshot())
    assert ledger.view().fresh


def test_the_body_is_made_once_for_each_sample(ledger):
    ledger.add(snapshot())
    assert ledger.metrics() is ledger.metrics()
    assert ledger.metrics(compressed=True) is ledger.metrics(compressed=True)
    assert gzip.decompress(ledger.metrics(compressed=True)) == ledger.metrics()
    assert ledger.metrics(openmetrics=True).endswith(b"# EOF\n")
    before = ledger.metrics()
    ledger.add(snapshot(processes=(process(),)))
    assert b'pid="100"' in ledger.metrics()
    assert b'pid="100"' not in before


def test_an_xid_is_counted_once_though_every_snapshot_repeats_it(ledger):
    first = xid()
    for _ in range(3):
        ledger.add(snapshot(events=(first,)))
    assert ledger.view().totals.xids[uuid_of(0), 79].count == 1


def test_two_equal_xids_are_two(ledger):
    first, second = xid(), xid()
    ledger.add(snapshot(events=(first,)))
    ledger.add(snapshot(events=(first, second)))
    assert ledger.view().totals.xids[uuid_of(0), 79].count == 2


def test_xids_are_counted_on_when_old_ones_are_forgotten(ledger):
    events = [xid(at=AT + step) for step in range(6)]
    ledger.add(snapshot(events=tuple(events[:3])))
    ledger.add(snapshot(events=tuple(events[2:5])))
    ledger.add(snapshot(events=(events[5],)))
    total = ledger.view().totals.xids[uuid_of(0), 79]
    assert (total.count, total.last_at) == (6, AT + 5)


def test_other_events_are_no_xids(ledger):
    ledger.add(snapshot(events=(replace(xid(), kind="clock"),)))
    assert ledger.view().totals.xids == {}


def test_a_failure_of_a_slow_collector_is_counted_once(ledger):
    failed = CollectorOutcome("health", uuid_of(0), False, 0.1, AT, "no")
    for _ in range(3):
        ledger.add(snapshot(collectors=(failed,)))
    ledger.add(snapshot(collectors=(replace(failed, at=AT + 30),)))
    assert ledger.view().totals.collector_errors == {(uuid_of(0), "health"): 2}


def test_a_collector_that_never_failed_counts_zero(ledger):
    ledger.add(snapshot(collectors=(CollectorOutcome("pcie", uuid_of(0), True, 0.1, AT),)))
    assert ledger.view().totals.collector_errors == {(uuid_of(0), "pcie"): 0}


def test_the_daemon_tells_its_own_cost(ledger):
    ledger.add(snapshot(device()))
    own = ledger.view().own
    assert own.resident_bytes > 5_000_000
    assert own.open_files >= 3
    assert own.cpu_seconds > 0

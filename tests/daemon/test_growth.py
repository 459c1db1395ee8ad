"""A daemon runs for months: what comes and goes must leave nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from itertools import pairwise

from gpudoctor.daemon.ledger import Ledger
from gpudoctor.model.snapshot import CollectorOutcome, GpuEvent
from tests.builders import AT, device, process, snapshot, uuid_of

GPUS = tuple(device(index) for index in range(2))


def look(number):
    """A sample with processes, outcomes and events that no other sample has."""
    return snapshot(
        *GPUS,
        processes=tuple(process(number * 4 + one, index=one % 2) for one in range(4)),
        collectors=(CollectorOutcome("pcie", uuid_of(0), False, 0.1, AT + number, "no"),),
        events=(GpuEvent(AT + number, uuid_of(0), "xid", 13),),
        taken_at=AT + number,
    )


def run(ledger, first, count):
    for number in range(first, first + count):
        ledger.add(look(number))
        if number % 50 == 0:
            ledger.metrics(compressed=True)


def test_thousands_of_samples_with_new_processes_leave_no_memory_behind():
    ledger = Ledger(interval_s=1.0, process_rows=10)
    run(ledger, 0, 1_000)
    tracemalloc.start()
    try:
        sizes = []
        for first in range(1_000, 9_000, 2_000):
            run(ledger, first, 2_000)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # A leak shows in every stretch, with tens of bytes for each of its 2,000 samples; what stands out in one
    # is a table of the interpreter that was resized.
    assert min(later - earlier for earlier, later in pairwise(sizes)) < 10_000, sizes
    assert ledger.view().totals.xids[uuid_of(0), 13].count == 9_000
    assert ledger.view().totals.collector_errors[uuid_of(0), "pcie"] == 9_000


def test_the_number_of_series_does_not_grow():
    ledger = Ledger(interval_s=1.0, process_rows=10)
    ledger.add(look(1))
    first = ledger.metrics().count(b"\n")
    run(ledger, 2, 500)
    ledger.add(replace(look(1000), collectors=look(1).collectors))
    assert ledger.metrics().count(b"\n") == first

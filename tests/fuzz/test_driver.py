"""A driver that answers nonsense: names that are no text, numbers that cannot be."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from gpudoctor.daemon.ledger import Ledger
from gpudoctor.host.procs import LocalHost
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.listing import Listing, Origin, listed, listed_device
from gpudoctor.model.selection import unlisted
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.render.processes import table
from gpudoctor.render.text import console
from gpudoctor.sampling.sampler import Sampler
from tests.fuzz.settled import fuzz
from tests.nvml_sim.machine import SimMachine, SimProcess
from tests.nvml_sim.presets import eight_h100

ABSURD = st.sampled_from(
    [
        0,
        1,
        255,
        2**31 - 1,
        2**32 - 1,
        2**63 - 1,
        2**64 - 1,
        "nan",
        "inf",
        "-inf",
        "1e308",
        "!999",
        "!2",
        "!7",
        None,
    ]
)
NAMES = st.sampled_from(["\x1b]0;x\x07", 'a"b\\c', "<b>", "x" * 300, "é\x9b", "[red]"])


def machine() -> SimMachine:
    made = eight_h100(2)
    del made.gpus[2:]
    return made


NUMBERS = sorted(
    key
    for key in machine().gpus[0].values
    if key not in ("name", "uuid", "serial", "pci.bus_id", "cpu_affinity")
)


def everything(sampler: Sampler):
    snapshot = sampler.once()
    ledger = Ledger(interval_s=1.0, process_rows=5)
    ledger.add(snapshot)
    json.loads(envelope("x/1", {"snapshot": to_builtins(snapshot)}))
    for family in text_string_to_metric_families(ledger.metrics().decode()):
        assert family.samples
    assert list(openmetrics_families(ledger.metrics(openmetrics=True).decode()))
    rows = tuple(listed(row, Origin(()), None) for row in snapshot.processes)
    listing = Listing(
        snapshot.driver, tuple(map(listed_device, snapshot.devices)), rows, (), unlisted(snapshot)
    )
    screen = console()
    with screen.capture() as shown:
        screen.print(*table(snapshot, listing, width=160))
    assert not {"\x1b", "\x07", "\x9b"} & set(re.sub(r"\x1b\[[0-9;]*m", "", shown.get()))
    return snapshot


def test_any_number_for_any_reading_is_taken_or_left_out(nvml_sim):
    nvml = open_nvml()

    @fuzz(60)
    @given(st.dictionaries(st.sampled_from(NUMBERS), ABSURD, min_size=1, max_size=25))
    def run(values):
        made = machine()
        made.gpus[0].update(values)
        nvml_sim.use(made)
        sampler = Sampler(nvml, LocalHost(), reopen=open_nvml)
        try:
            sampler.once()
            found = everything(sampler)
        finally:
            for worker in sampler._workers:
                worker.stop()
        assert len(found.devices) == 2
        assert found.devices[1].power.usage_watts is not None

    run()


def test_any_text_for_a_name_and_any_process_is_shown_harmlessly(nvml_sim):
    nvml = open_nvml()

    @fuzz(40)
    @given(
        NAMES,
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1]),
                st.none() | st.sampled_from([0, 2**63, 2**64 - 1]),
            ),
            max_size=4,
        ),
    )
    def run(name, processes):
        made = machine()
        made.gpus[0].name = name
        made.gpus[0].processes = [SimProcess(pid, memory) for pid, memory in processes]
        nvml_sim.use(made)
        sampler = Sampler(nvml, LocalHost(), reopen=open_nvml)
        try:
            everything(sampler)
        finally:
            for worker in sampler._workers:
                worker.stop()

    run()


@pytest.mark.parametrize("raw", [b"\xff\xfe NVIDIA", b"\xc3", b"\x9b31m"])
def test_a_name_that_is_no_utf_8_is_shown_all_the_same(nvml_sim, raw):
    made = nvml_sim.use(machine())
    made.gpus[0].name = "NAME"
    made.save()
    nvml_sim.state.write_bytes(nvml_sim.state.read_bytes().replace(b"NAME", raw))
    sampler = Sampler(open_nvml(), LocalHost(), reopen=open_nvml)
    try:
        assert "\ufffd" in everything(sampler).devices[0].facts.name
    finally:
        sampler.stop()

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.readings import (
    ClockReading,
    MemoryReading,
    MigInstance,
    MigReading,
    PcieReading,
    PowerReading,
    ThermalReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.present.cells import NOTHING, Level
from gpudoctor.present.devices import COLUMNS, device_rows, short_name
from tests.builders import AT, GIB, device, process, snapshot, uuid_of


def cells_of(made, *, row=0):
    rows = device_rows(made)
    return dict(zip((column.key for column in COLUMNS), rows[row].cells, strict=True))


def test_what_the_gpu_does_not_give_is_a_dash_and_never_a_zero():
    silent = device(
        memory=MemoryReading(),
        utilization=UtilizationReading(),
        power=PowerReading(),
        thermal=ThermalReading(),
        clocks=ClockReading(),
    )
    silent = replace(silent, facts=replace(silent.facts, memory_total_bytes=None))
    cells = cells_of(snapshot(silent))
    for key in ("utilization", "memory", "power", "temperature", "clock", "state", "sm", "pcie"):
        assert cells[key] == NOTHING, key


def test_a_zero_that_the_gpu_does_give_is_shown_as_zero():
    cells = cells_of(snapshot(device(utilization=UtilizationReading(0.0, 0.0))))
    assert cells["utilization"].text.strip() == "0%"
    assert cells["utilization"].level is Level.DIM


@pytest.mark.parametrize(("used", "level"), [(40, Level.PLAIN), (72, Level.WARN), (79, Level.BAD)])
def test_memory_is_judged_by_how_full_it_is(used, level):
    cells = cells_of(snapshot(device(memory=MemoryReading(80 * GIB, used * GIB, 0))))
    assert cells["memory"].level is level
    assert cells["memory"].bar == used / 80


@pytest.mark.parametrize(
    ("celsius", "level"), [(60, Level.PLAIN), (83, Level.WARN), (87, Level.BAD)]
)
def test_heat_is_judged_by_the_cards_own_limit(celsius, level):
    made = device(thermal=ThermalReading(celsius, None))
    made = replace(made, facts=replace(made.facts, temperature_slowdown_celsius=87))
    assert cells_of(snapshot(made))["temperature"].level is level


def test_heat_without_a_known_limit_is_not_judged():
    assert (
        cells_of(snapshot(device(thermal=ThermalReading(99, None))))["temperature"].level
        is Level.PLAIN
    )


@pytest.mark.parametrize(
    ("reasons", "text", "level"),
    [
        ((), "ok", Level.GOOD),
        (("idle",), "idle", Level.DIM),
        (("sw_power_cap",), "power cap", Level.NOTICE),
        (("sw_power_cap", "hw_thermal_slowdown"), "slow: heat", Level.BAD),
        (("some_new_reason",), "some_new_rea", Level.NOTICE),
        (None, "–", Level.DIM),
    ],
)
def test_the_worst_reason_for_low_clocks_is_the_state(reasons, text, level):
    state = cells_of(snapshot(device(clocks=ClockReading(1e9, reasons=reasons))))["state"]
    assert (state.text, state.level) == (text, level)


def test_a_gpu_that_does_not_answer_is_faded_and_says_since_when():
    made = snapshot(device(state=DeviceState.STALE, stale_since=AT - 75))
    assert device_rows(made)[0].faded
    assert cells_of(made)["state"].text == "stale 1m15s"
    assert cells_of(snapshot(device(state=DeviceState.LOST)))["state"].text == "lost"


def test_users_are_named_by_what_they_hold_the_greatest_first():
    made = snapshot(
        device(0),
        device(1),
        processes=(
            process(1, used=GIB, user="ana"),
            process(2, used=5 * GIB, user="ben"),
            process(3, index=1, user=None),
        ),
    )
    assert cells_of(made)["users"].text == "ben +1"
    assert cells_of(made, row=1)["users"].text == "–"


def test_an_unused_gpu_has_no_users():
    assert cells_of(snapshot(device()))["users"].text == ""


def test_mig_instances_stand_under_their_gpu_with_their_own_memory():
    instance = MigInstance("MIG-1", 7, 0, "1g.10gb", 10 * GIB, 2 * GIB)
    made = snapshot(
        device(mig=MigReading(True, (instance,)), utilization=UtilizationReading()), device(1)
    )
    assert [row.key for row in device_rows(made)] == [uuid_of(0), "MIG-1", uuid_of(1)]
    assert cells_of(made)["utilization"] == NOTHING
    below = cells_of(made, row=1)
    assert below["memory"].text.split("/") == ["  2.0", "10.0 "]
    assert below["state"].text == "MIG 7/0"


def test_a_link_with_lanes_missing_is_marked_and_a_slow_idle_one_is_not():
    made = device(pcie=PcieReading(1, 8))
    made = replace(made, facts=replace(made.facts, pcie_width_max=16, pcie_generation_max=5))
    assert cells_of(snapshot(made))["pcie"].level is Level.WARN
    made = replace(made, pcie=PcieReading(1, 16))
    assert cells_of(snapshot(made))["pcie"].level is Level.PLAIN


def test_a_product_name_is_shown_without_the_makers():
    assert short_name("NVIDIA H100 80GB HBM3") == "H100 80GB HBM3"
    assert short_name("NVIDIA GeForce RTX 4090") == "RTX 4090"
    assert short_name("Tesla T4\x1b[2J") == "T4\\x1b[2J"

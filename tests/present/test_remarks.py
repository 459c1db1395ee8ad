from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.readings import (
    ClockReading,
    HealthReading,
    PcieReading,
    ThermalReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import Device, DeviceState, GpuEvent
from gpudoctor.present.cells import Level
from gpudoctor.present.remarks import event_text, remarks
from gpudoctor.sampling.worker import unknown_facts
from tests.builders import AT, device, process, snapshot, uuid_of


def texts(made):
    return [remark.text for remark in remarks(made)]


def test_a_healthy_busy_machine_has_nothing_to_remark():
    assert remarks(snapshot(device(), processes=(process(),))) == ()


def test_a_gpu_that_says_nothing_of_itself_has_nothing_to_remark():
    bare = replace(device(), utilization=UtilizationReading(), clocks=ClockReading())
    assert remarks(snapshot(bare, processes=(process(),))) == ()


def test_heat_is_told_with_temperature_and_clocks():
    hot = device(
        3,
        thermal=ThermalReading(91, None),
        clocks=ClockReading(1.2e9, reasons=("hw_thermal_slowdown",)),
    )
    hot = replace(hot, facts=replace(hot.facts, sm_clock_max_hertz=1.98e9))
    assert texts(snapshot(hot)) == ["GPU 3 is slowed down by heat: 91°C, 1200 of 1980 MHz"]


def test_a_silent_gpu_is_told_with_its_time_and_nothing_else_of_it_is():
    stale = device(
        state=DeviceState.STALE, stale_since=AT - 30, clocks=ClockReading(reasons=("hw_slowdown",))
    )
    assert texts(snapshot(stale)) == ["GPU 0 has not answered for 30s; its last values are shown"]
    mute = Device(unknown_facts(3), DeviceState.STALE, "no answer", AT - 4)
    assert texts(snapshot(mute)) == ["GPU 3 has not answered for 4s; nothing is known of it"]
    lost = device(state=DeviceState.LOST, stale_since=AT - 3700)
    assert texts(snapshot(lost)) == ["GPU 0 is lost for 1h01m: the driver cannot reach it any more"]


def test_memory_held_on_an_idle_gpu_is_told_with_its_holders():
    idle = device(utilization=UtilizationReading(0.0, 0.0))
    assert texts(snapshot(idle, processes=(process(user="cho"),))) == [
        "GPU 0 is idle while cho holds 20.0 GiB of it"
    ]
    assert texts(snapshot(idle)) == []


def test_memory_faults_are_told():
    made = snapshot(
        device(0, health=HealthReading(ecc_uncorrected_volatile=2)),
        device(1, health=HealthReading(remap_failed=True, remap_pending=True)),
        device(2, health=HealthReading(remap_pending=True)),
        device(3, health=HealthReading(recovery_action="reset")),
    )
    found = remarks(made)
    assert [remark.level for remark in found] == [Level.BAD, Level.BAD, Level.BAD, Level.WARN]
    assert "2 uncorrected ECC errors" in found[0].text
    assert "could not remap" in found[1].text
    assert "recommends for GPU 3: reset" in found[2].text
    assert "at its next reset" in found[3].text


def test_missing_lanes_are_told():
    made = device(pcie=PcieReading(5, 4))
    made = replace(made, facts=replace(made.facts, pcie_width_max=16))
    assert texts(snapshot(made)) == ["GPU 0 has 4 PCIe lanes of 16"]


def test_an_xid_is_news_for_ten_minutes_with_what_the_catalogue_says_of_it():
    def at(ago):
        return snapshot(events=(GpuEvent(AT - ago, uuid_of(0), "xid", 79),))

    assert texts(at(20)) == ["GPU 0: Xid 79: GPU has fallen off the bus, 20s ago"]
    assert texts(at(700)) == []


def test_an_unknown_xid_and_another_event_are_told_without_a_meaning():
    made = snapshot()
    assert event_text(GpuEvent(AT, "GPU-x", "xid", 9999), made) == "GPU-x: Xid 9999"
    assert event_text(GpuEvent(AT, uuid_of(0), "clock", 4), made) == "GPU 0: clock 4"
    assert event_text(GpuEvent(AT, "", "xid", 9999), made) == "Xid 9999"


def test_the_worst_is_told_first():
    made = snapshot(
        device(0, utilization=UtilizationReading(0.0, 0.0)),
        device(1, state=DeviceState.STALE),
        device(2, state=DeviceState.LOST),
        processes=(process(),),
    )
    assert [remark.level for remark in remarks(made)] == [Level.BAD, Level.WARN, Level.NOTICE]

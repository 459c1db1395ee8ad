from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.process import GpuProcess
from gpudoctor.model.recording import SCHEMA, Recording, RecordingHead
from gpudoctor.model.snapshot import DeviceState, GpuEvent
from gpudoctor.nvml.api import DeviceLostError
from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.nvml.replay import RecordedTimeline, ReplayMachine
from gpudoctor.sampling.sampler import Sampler
from tests.builders import AT, GIB, device, process, snapshot, uuid_of


class Clock:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


def recording(*snapshots):
    return Recording(RecordingHead(SCHEMA, "0", AT, 1.0), snapshots)


def played(*snapshots, opened_at=AT):
    clock = Clock()
    return clock, ReplayMachine(RecordedTimeline(recording(*snapshots), opened_at), clock=clock)


def test_time_moves_a_recording_on_and_its_end_stands_still():
    first = snapshot(device(memory=replace(device().memory, used_bytes=1)))
    second = replace(first, taken_at=AT + 10, devices=(device(),))
    clock, machine = played(first, second)
    assert machine.device(0).memory().used_bytes == 1
    clock.now += 9.9
    assert machine.device(0).memory().used_bytes == 1
    clock.now += 0.2
    assert machine.device(0).memory() == device().memory
    clock.now += 1e6
    assert machine.device(0).memory() == device().memory


def test_a_recording_played_later_shows_the_same_ages_of_processes():
    _, machine = played(snapshot(processes=(process(started=AT - 60),)), opened_at=AT + 5000)
    facts = machine.processes(frozenset({100}))[100]
    assert facts.key.started == AT + 5000 - 60


def test_a_lost_gpu_of_a_recording_is_lost_when_played():
    _, machine = played(snapshot(device(state=DeviceState.LOST)))
    with pytest.raises(DeviceLostError):
        machine.device(0).memory()
    assert machine.device(0).facts().uuid == uuid_of(0)
    assert Sampler(machine, machine).once().devices[0].state is DeviceState.LOST


def test_an_event_comes_once_at_its_moment():
    xid = GpuEvent(AT + 5, uuid_of(0), "xid", 79)
    first = snapshot()
    clock, machine = played(first, replace(first, taken_at=AT + 5, events=(xid,)))
    assert machine.wait_events(0) == ()
    clock.now += 6
    assert machine.wait_events(0) == (xid,)
    assert machine.wait_events(0) == ()


def test_a_sampler_on_a_recording_sees_what_was_recorded():
    stranger = GpuProcess(2, None, process(2, 1).gpus, 10 * GIB, visible=False)
    recorded = snapshot(device(0), device(1), processes=(process(1), stranger))
    _, machine = played(recorded)
    seen = Sampler(machine, machine).once()
    assert seen.devices == recorded.devices
    assert seen.processes == recorded.processes
    assert (seen.source, seen.simulated) == ("replay", False)


def test_the_demo_has_eight_gpus_and_tells_its_story():
    timeline = DemoTimeline(opened_at=AT)
    shown = timeline.at(10)
    assert len(shown.devices) == 8
    assert shown.simulated
    users = {row.user for row in shown.processes}
    assert {"ana", "ben", "cho"} <= users
    orphan = next(row for row in shown.processes if row.user == "cho")
    assert orphan.parent_pid == 1
    assert "hw_thermal_slowdown" in shown.devices[6].clocks.reasons
    assert timeline.events_until(1) == ()
    assert [event.code for event in timeline.events_until(60)] == [13]


def test_the_demo_looks_alive():
    timeline = DemoTimeline(opened_at=AT)
    ratios = {
        round(timeline.at(second).devices[0].utilization.gpu_ratio, 2) for second in range(20)
    }
    assert len(ratios) > 3


def test_memory_held_by_demo_processes_fits_what_the_device_says():
    shown = DemoTimeline(opened_at=AT).at(3)
    for found in shown.devices:
        held = sum(
            use.memory_used_bytes
            for row in shown.processes
            for use in row.gpus
            if use.index == found.index
        )
        assert held <= found.memory.used_bytes <= found.memory.total_bytes

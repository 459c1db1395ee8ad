from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from gpudoctor.model.snapshot import DeviceState, GpuEvent
from gpudoctor.sampling.sampler import Sampler
from tests.builders import device, process, snapshot, uuid_of
from tests.sampling.scripted import ScriptedMachine, call_error, until


@pytest.fixture
def machine():
    made = ScriptedMachine()
    yield made
    for held in made.hang.values():
        held.set()


def sampler_of(machine, **options) -> Sampler:
    options = {"interval_s": 0.05, "deadline_s": 0.2} | options
    return Sampler(machine, machine, **options)


def states(sampler: Sampler) -> list[DeviceState]:
    assert sampler.latest is not None
    return [found.state for found in sampler.latest.devices]


def test_one_look_has_every_device_and_every_reading(machine):
    seen = sampler_of(machine).once()
    assert [found.uuid for found in seen.devices] == [uuid_of(0), uuid_of(1)]
    assert seen.devices[0].memory == machine.shown.devices[0].memory
    assert seen.devices[0].clocks == machine.shown.devices[0].clocks
    assert seen.driver == machine.shown.driver


def test_a_process_on_two_gpus_is_one_row_with_both(machine):
    held = process(100, 0)
    both = replace(held, gpus=held.gpus + process(100, 1).gpus)
    machine.shown = snapshot(device(0), device(1), processes=(both,))
    (row,) = sampler_of(machine).once().processes
    assert [use.index for use in row.gpus] == [0, 1]
    assert row.memory_used_bytes == 2 * held.memory_used_bytes
    assert row.user == "ana"


def test_a_pid_outside_our_namespace_keeps_its_row(machine):
    machine.shown = snapshot(device(0), processes=(process(4242, visible=False),))
    (row,) = sampler_of(machine).once().processes
    assert (row.pid, row.visible, row.user, row.started) == (4242, False, None, None)


def test_memory_that_no_gpu_gives_stays_unknown(machine):
    machine.shown = snapshot(device(0), processes=(process(7, used=None),))
    (row,) = sampler_of(machine).once().processes
    assert row.memory_used_bytes is None


def test_a_hung_gpu_is_stale_and_delays_nobody(machine):
    sampler = sampler_of(machine)
    sampler.start()
    assert until(lambda: sampler.latest and states(sampler) == [DeviceState.OK] * 2)
    machine.hang[0] = threading.Event()
    assert until(lambda: states(sampler) == [DeviceState.STALE, DeviceState.OK])
    stale = sampler.latest.devices[0]
    assert stale.memory == machine.shown.devices[0].memory
    assert stale.stale_since is not None
    before = len([call for call in machine.calls if call == (1, "memory")])
    time.sleep(0.5)
    after = len([call for call in machine.calls if call == (1, "memory")])
    assert after - before >= 5
    machine.hang.pop(0).set()
    assert until(lambda: states(sampler) == [DeviceState.OK] * 2)
    sampler.stop()


def test_a_gpu_that_hangs_from_the_start_is_shown_as_not_answering(machine):
    machine.hang[1] = threading.Event()
    seen = sampler_of(machine).once(0.3)
    assert seen.devices[0].state is DeviceState.OK
    assert seen.devices[1].state is DeviceState.STALE
    assert seen.devices[1].facts.name == "not answering"


def test_the_first_snapshot_waits_for_no_gpu_that_hangs_and_shows_it_once_it_answers(machine):
    machine.hang[1] = threading.Event()
    sampler = sampler_of(machine, interval_s=60.0, deadline_s=30.0, first_s=0.05)
    begun = time.monotonic()
    sampler.start()
    assert until(lambda: sampler.latest is not None)
    assert time.monotonic() - begun < 5.0
    assert states(sampler) == [DeviceState.OK, DeviceState.STALE]
    assert sampler.latest.devices[1].stale_since is not None
    machine.hang.pop(1).set()
    assert until(lambda: states(sampler) == [DeviceState.OK] * 2)
    assert time.monotonic() - begun < 30.0, "it was shown at once, not at the next tick"
    sampler.stop()


def test_stopping_takes_less_than_two_seconds_while_a_gpu_hangs(machine):
    machine.hang[0] = threading.Event()
    sampler = sampler_of(machine)
    sampler.start()
    time.sleep(0.2)
    begun = time.monotonic()
    sampler.stop()
    assert time.monotonic() - begun < 2.0
    assert machine.closed == 0, "closing NVML while a call is in it can crash"


def test_stopping_closes_the_driver_when_nothing_hangs(machine):
    sampler = sampler_of(machine)
    sampler.start()
    assert until(lambda: sampler.latest)
    sampler.stop()
    assert machine.closed == 1


def test_two_calls_that_say_lost_make_a_gpu_lost_without_old_values(machine):
    sampler = sampler_of(machine)
    sampler.start()
    assert until(lambda: sampler.latest and states(sampler) == [DeviceState.OK] * 2)
    machine.lose(1)
    assert until(lambda: states(sampler) == [DeviceState.OK, DeviceState.LOST])
    lost = sampler.latest.devices[1]
    assert lost.memory.used_bytes is None
    assert lost.uuid == uuid_of(1)
    machine.failing.clear()
    assert until(lambda: states(sampler) == [DeviceState.OK] * 2)
    sampler.stop()


def test_one_failing_collector_leaves_the_others_and_is_named(machine):
    machine.failing[0, "power"] = call_error()
    seen = sampler_of(machine).once()
    assert seen.devices[0].state is DeviceState.FAILED
    assert seen.devices[0].power.usage_watts is None
    assert seen.devices[0].memory.used_bytes is not None
    (failed,) = [outcome for outcome in seen.collectors if not outcome.ok]
    assert (failed.collector, failed.uuid) == ("power", uuid_of(0))
    assert "Unknown Error" in failed.error


def test_a_collector_that_crashes_is_an_outcome_and_the_rest_goes_on(machine):
    machine.failing[0, "thermal"] = ZeroDivisionError("division by zero")
    seen = sampler_of(machine).once()
    (failed,) = [outcome for outcome in seen.collectors if not outcome.ok]
    assert failed.error == "ZeroDivisionError: division by zero"
    assert seen.devices[0].utilization.gpu_ratio == 0.5


def test_slow_collectors_run_on_their_own_period(machine):
    sampler = sampler_of(machine)
    sampler.start()
    assert until(lambda: machine.calls.count((0, "memory")) >= 6)
    sampler.stop()
    assert machine.calls.count((0, "health")) == 1
    assert machine.calls.count((0, "facts")) == 1


def test_a_driver_that_was_reloaded_is_opened_again(machine):
    fresh = ScriptedMachine(3)
    sampler = sampler_of(machine, reopen=lambda: fresh)
    sampler.start()
    assert until(lambda: sampler.latest and states(sampler) == [DeviceState.OK] * 2)
    machine.gone = True
    assert until(lambda: DeviceState.FAILED in states(sampler))
    assert until(lambda: states(sampler) == [DeviceState.OK] * 3, 8)
    assert machine.closed == 1
    sampler.stop()


def test_events_of_the_driver_are_in_the_snapshot(machine):
    sampler = sampler_of(machine)
    sampler.start()
    xid = GpuEvent(1.0, uuid_of(0), "xid", 79)
    machine.fired.append(xid)
    assert until(lambda: sampler.latest and xid in sampler.latest.events)
    sampler.stop()


def test_readers_get_each_snapshot_until_they_leave_and_a_broken_one_harms_nobody(machine, caplog):
    sampler = sampler_of(machine)
    got = []

    def broken(_snapshot):
        raise RuntimeError("reader")

    sampler.subscribe(broken)
    leave = sampler.subscribe(got.append)
    sampler.start()
    assert until(lambda: len(got) >= 3)
    leave()
    time.sleep(0.1)
    count = len(got)
    time.sleep(0.2)
    assert len(got) == count
    assert "a reader of snapshots failed" in caplog.text
    sampler.stop()

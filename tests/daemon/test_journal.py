from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest

from gpudoctor.daemon.changes import event, note
from gpudoctor.daemon.journal import Journal
from gpudoctor.model.check import CheckReport
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.snapshot import DeviceState, GpuEvent
from gpudoctor.render.metrics.view import Inspection
from tests.builders import AT, device, snapshot, uuid_of
from tests.cli.serving import serving
from tests.rich import rich_inspection


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, "gpudoctor.daemon")

    def since_last():
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return lines

    return since_last


def inspection(*findings, orphans=()):
    return Inspection(AT, 0.1, tuple(orphans), CheckReport(findings, (), 0.1))


def test_a_gpu_that_is_lost_is_told_once_and_its_return_too(told):
    journal = Journal()
    journal.add(snapshot(device(0), device(1)))
    assert told() == []
    lost = device(1, state=DeviceState.LOST, error="GPU is lost")
    journal.add(snapshot(device(0), lost))
    journal.add(snapshot(device(0), lost))
    assert told() == [f"GPU 1 ({uuid_of(1)}) is lost: GPU is lost"]
    journal.add(snapshot(device(0), device(1)))
    assert told() == [f"GPU 1 ({uuid_of(1)}) answers again"]


def test_a_gpu_that_hangs_and_is_then_lost_is_told_twice(told):
    journal = Journal()
    for state in (DeviceState.STALE, DeviceState.LOST, DeviceState.FAILED):
        journal.add(snapshot(device(state=state, error="why")))
    assert [line.partition(") ")[2] for line in told()] == [
        "is stale: why",
        "is lost: why",
        "answers again",
    ]


def test_an_xid_is_told_with_its_meaning(told):
    event = GpuEvent(AT, uuid_of(0), "xid", 79)
    journal = Journal()
    for _ in range(2):
        journal.add(snapshot(events=(event,)))
    assert told() == ["GPU 0: Xid 79, GPU has fallen off the bus"]


def test_an_xid_of_which_the_driver_tells_only_the_number_is_told_with_its_meaning():
    change = event(GpuEvent(1.0, "GPU-0", "xid", 79, "Xid 79"), 3)
    assert change.summary == "GPU 3: Xid 79, GPU has fallen off the bus"
    unknown = event(GpuEvent(1.0, "GPU-0", "xid", 9999, "Xid 9999"), 3)
    assert unknown.summary == "GPU 3: Xid 9999, not in NVIDIA's catalogue"


def test_a_flood_of_events_does_not_flood_the_log(told):
    events = tuple(GpuEvent(AT + number, uuid_of(0), "xid", 13) for number in range(200))
    Journal().add(snapshot(events=events))
    lines = told()
    assert len(lines) == 21
    assert lines[-1] == "and 180 more events"


def test_findings_are_told_when_they_come_and_when_they_go(told):
    finding = Finding("ecc.uncorrected", Severity.ERROR, "GPU 0", "2 errors\x1b[31m")
    journal = Journal()
    journal.add_inspection(inspection(finding))
    journal.add_inspection(inspection(replace(finding, summary="3 errors")))
    assert told() == ["ecc.uncorrected: GPU 0: 2 errors\\x1b[31m"]
    journal.add_inspection(inspection())
    assert told() == ["ecc.uncorrected: GPU 0: no longer found"]


def test_what_is_only_worth_knowing_is_not_told(told):
    journal = Journal()
    journal.add_inspection(inspection(Finding("memory.held", Severity.INFO, "GPU 0", "full")))
    assert told() == []


def test_an_orphan_is_told_once(told):
    journal = Journal()
    for _ in range(2):
        journal.add_inspection(inspection(orphans=rich_inspection().orphans))
    assert told() == ["orphan: pid 100 of ana holds 10.0 GiB on GPU 0: its launcher is gone"]


def test_the_daemon_logs_a_gpu_that_is_lost(nvml_sim):
    with serving("--interval", "0.2", root=(), env=nvml_sim.env) as daemon:
        daemon.wait_for("gpudoctor_gpu_up{")
        nvml_sim.machine.lose(5)
        daemon.wait_for('state="lost"')
        nvml_sim.machine.find(5)
        time.sleep(0.5)
        daemon.end()
        log = daemon.process.stderr.read()
    assert "WARNING: GPU 5 (" in log
    assert "INFO: GPU 5 (" in log
    assert log.count("answers again") == 1


def noted(*changes):
    return [one for one in map(note, changes) if one is not None]


def test_what_is_told_can_be_recorded_with_its_gpus_and_its_process():
    found = rich_inspection()
    told = []
    journal = Journal([told.append])
    journal.add_inspection(found)
    journal.add(snapshot(device(1, state=DeviceState.LOST, error="GPU is lost")))
    journal.add_inspection(inspection())
    notes = noted(*told)
    assert [(one.kind, one.name, one.gpus, one.pid, one.ended) for one in notes] == [
        ("finding", "ecc.recovery-action", (0,), None, False),
        ("orphan", "", (0,), 100, False),
        ("gpu", "", (1,), None, False),
        ("finding", "ecc.recovery-action", (0,), None, True),
        ("orphan", "", (0,), 100, True),
    ]
    assert notes[0].text == "GPU 0: reset it"
    assert notes[0].severity == "error"
    assert notes[1].text.startswith("pid 100 of ana holds")


def test_a_finding_about_the_machine_is_of_no_gpu_and_events_are_left_to_the_samples():
    found = Finding("driver.old", Severity.WARNING, "the driver", "it is old")
    told = []
    journal = Journal([told.append])
    journal.add_inspection(inspection(found))
    journal.add(snapshot(events=(GpuEvent(AT, uuid_of(0), "xid", 13),)))
    assert [one.gpus for one in noted(*told)] == [()]
    assert len(told) == 2

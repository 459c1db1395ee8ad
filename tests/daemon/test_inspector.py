from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from gpudoctor.checks import runner
from gpudoctor.daemon.inspector import Inspector
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.model.check import Outcome
from gpudoctor.model.orphan import Verdict
from gpudoctor.model.readings import HealthReading
from gpudoctor.nvml.demo import DemoTimeline
from tests.builders import device, snapshot
from tests.cli.serving import serving


@pytest.fixture
def ledger():
    return Ledger(interval_s=1.0)


def test_the_checks_that_a_daemon_can_answer_are_run(ledger):
    sick = device(health=HealthReading(remap_failed=True))
    found = Inspector(ledger, interval_s=60).inspect(snapshot(sick, source="replay"))
    assert "ecc.remap-failed" in {finding.id for finding in found.report.findings}
    groups = {outcome.id.partition(".")[0] for outcome in found.report.checks}
    assert {"clocks", "driver", "ecc", "links", "xid"} <= groups
    assert not groups & {"torch", "script", "packages", "settings", "cuda"}
    assert not [one for one in found.report.checks if one.outcome is Outcome.CRASHED]


def test_the_hosts_own_devices_are_not_taken_for_those_of_a_replay(ledger):
    found = Inspector(ledger, interval_s=60).inspect(snapshot(source="replay"))
    outcomes = {one.id: one.outcome for one in found.report.checks}
    assert outcomes["driver.not-loaded"] is Outcome.NOT_APPLICABLE


def test_what_is_left_over_in_the_demo_is_found_at_the_second_look(ledger):
    timeline = DemoTimeline()
    inspector = Inspector(ledger, interval_s=60)
    inspector.inspect(timeline.at(0))
    for second in range(5, 60, 5):
        inspector.add(timeline.at(second))
    orphans = inspector.inspect(timeline.at(60)).orphans
    assert [one.pid for one in orphans if one.verdict is not Verdict.IN_USE] == [29_907]


def test_what_came_before_a_look_is_kept_no_longer_than_for_it(ledger):
    timeline = DemoTimeline()
    inspector = Inspector(ledger, interval_s=60)
    for second in range(0, 65, 5):
        inspector.add(timeline.at(second))
    inspector.inspect(timeline.at(50))
    left = [one.taken_at for one in inspector._seen]
    assert left == [timeline.at(55).taken_at, timeline.at(60).taken_at]


def test_a_clock_that_was_set_back_keeps_nothing_from_the_next_look(ledger):
    timeline = DemoTimeline()
    inspector = Inspector(ledger, interval_s=60)
    inspector.add(timeline.at(5000))
    for second in (0, 5, 10):
        inspector.add(timeline.at(second))
    inspector.inspect(timeline.at(5))
    assert [one.taken_at for one in inspector._seen] == [timeline.at(10).taken_at]


def test_the_daemon_tells_what_it_found():
    with serving("--interval", "0.2", "--inspect", "1", "--processes", "5") as daemon:
        text = daemon.wait_for("gpudoctor_orphans{")
        assert "gpudoctor_inspection_duration_seconds" in text
        daemon.wait_for('gpudoctor_orphans{verdict="suspect"} 1')
        daemon.wait_for('gpudoctor_findings{check="clocks.hardware-slowdown",severity="warning"} 1')
        told = json.loads(daemon.get("api/v1/orphans"))
        assert told["schema"] == "gpudoctor.orphans/1"
        assert 29_907 in [one["pid"] for one in told["orphans"]]
        told = json.loads(daemon.get("api/v1/findings"))
        assert told["schema"] == "gpudoctor.check/1"
        assert "clocks.hardware-slowdown" in [one["id"] for one in told["findings"]]


def test_without_inspections_nothing_is_told_of_them():
    with serving("--interval", "0.2", "--inspect", "0") as daemon:
        assert "gpudoctor_findings" not in daemon.wait_for("gpudoctor_gpu_up{")


def test_an_inspection_that_fails_does_not_end_the_inspector(ledger, monkeypatch, caplog):
    inspector = Inspector(ledger, interval_s=0.05)
    monkeypatch.setattr("gpudoctor.daemon.inspector._FIRST_AFTER_S", 0.01)
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) < 3:
            raise RuntimeError("no")
        return runner.run_checks(*arguments)

    monkeypatch.setattr("gpudoctor.daemon.inspector.run_checks", failing)
    ledger.add(snapshot(source="replay"))
    inspector.start()
    until = time.monotonic() + 20
    while ledger.view().inspection is None:
        assert time.monotonic() < until
        ledger.add(snapshot(source="replay"))
        time.sleep(0.02)
    inspector.stop()
    assert caplog.text.count("the inspection failed") == 1


def test_findings_of_a_machine_that_is_not_seen_any_more_are_not_told():
    now = [100.0]
    ledger = Ledger(interval_s=1.0, clock=lambda: now[0])
    ledger.add(snapshot(source="replay"))
    found = Inspector(ledger, interval_s=60).inspect(snapshot(source="replay"))
    ledger.add_inspection(replace(found, duration_seconds=0.5))
    assert b"gpudoctor_inspection_duration_seconds 0.5" in ledger.metrics()
    now[0] += 100
    assert b"gpudoctor_inspection" not in ledger.metrics()

"""What was recorded before the UI was opened, and where its readings come from."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace

import pytest

from gpudoctor.history.values import GpuHistory, GpuPoint, History
from gpudoctor.model.check import Inspected
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.history import WINDOWS
from tests.builders import GIB, uuid_of
from tests.tui.screen import text, until


class Recorded:
    """A machine that was busy for the last two and a half hours."""

    def read(self, since, until):
        points = tuple(
            GpuPoint(at, 1.0, 0.9, memory_used_bytes=60 * GIB)
            for at in range(int(max(since, until - 9_000)), int(until) - 10, 10)
        )
        return History(
            since, until, (GpuHistory(uuid_of(0), 0, "H100", 80 * GIB, 10.0, points),), (), ()
        )


class Nothing:
    def read(self, since, until):
        return None


async def test_the_graphs_of_all_windows_are_there_from_the_start_and_the_title_says_whence(feed):
    feed.latest = replace(feed.latest, taken_at=time.time())
    app = GpuDoctorApp(feed, past=Recorded(), attached=lambda: True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "via daemon · 2 h of history" in text(app))
        for window in WINDOWS:
            await until(pilot, lambda name=window.name: f" {name}" in text(app))
            track = app.history.utilization[uuid_of(0)]
            shown = track.columns(window.seconds, 10, time.time())
            busy = [value for value in shown if value is not None]
            assert busy[0] == pytest.approx(0.9)
            assert len(busy) == (10 if window.seconds < 9_000 else 2 + (shown[-3] is not None))
            await pilot.press("w")


async def test_without_recordings_the_title_says_nothing_of_them(feed):
    app = GpuDoctorApp(feed, past=Nothing())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "Details" in text(app))
        await pilot.pause(0.1)
        assert "history" not in text(app).splitlines()[0]
        assert app.note == ""


def found(summary="3 errors"):
    finding = Finding("gpu.ecc", Severity.ERROR, "GPU 1", summary)
    return Inspected("gpudoctor.check/1", dt.datetime.now(dt.UTC), (finding,))


@pytest.mark.parametrize("attached", [True, False])
async def test_the_worst_that_a_running_daemon_found_is_named_and_of_a_dead_one_nothing(
    feed, attached
):
    app = GpuDoctorApp(feed, attached=lambda: attached, inspected=found)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "Details" in text(app))
        words = "check (E): GPU 1: 3 errors (by the daemon)"
        if attached:
            await until(pilot, lambda: words in text(app))
            await pilot.press("e")
            await until(pilot, lambda: "NOW" in text(app) and words in text(app))
        else:
            await pilot.pause(0.1)
            assert words not in text(app)


async def test_what_a_daemon_found_is_asked_again_and_forgotten_when_it_is_gone(feed, monkeypatch):
    monkeypatch.setattr("gpudoctor.tui.app._FINDINGS_S", 0.0)
    answers, runs = [found(), found("4 errors")], [True]
    last = answers[-1]
    app = GpuDoctorApp(
        feed,
        attached=lambda: runs[-1],
        inspected=lambda: answers.pop(0) if answers else last,
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "GPU 1: 3 errors" in text(app))
        feed.publish(replace(feed.latest))
        await until(pilot, lambda: "GPU 1: 4 errors" in text(app))
        runs.append(False)
        feed.publish(replace(feed.latest))
        await until(pilot, lambda: "check (E)" not in text(app))

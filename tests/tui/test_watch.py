"""Profiles a running process from the table."""

from __future__ import annotations

import json

import pytest

from gpudoctor.tui.screens import watch
from gpudoctor.tui.sessions import kept_profiles, profiles
from tests.reclaim.children import state_of
from tests.tui.screen import text
from tests.tui.test_acts import asked, finished, live
from tests.tui.test_details import opened

__all__ = ["live"]

BUSY = "import time; print(1)\ndef counts():\n while True: time.sleep(0.01)\ncounts()"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def kept_run():
    [kept] = kept_profiles(profiles())
    return json.loads((kept.folder / "profile.json").read_text())


async def test_a_running_process_is_watched_after_a_yes_and_its_verdict_is_shown(
    live, children, monkeypatch
):
    monkeypatch.setattr(watch, "WATCHED_S", 2)
    pid = children.python(BUSY)
    app = live(pid)
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(app, pilot, "k", "r")
        assert f"Process {pid} will be watched" in text(app) and "by py-spy" in text(app)
        assert not profiles().exists()
        await pilot.press("y")
        await finished(pilot, f"profile of process {pid}")
        await finished(pilot, "report.html")
        await finished(pilot, "counts")
        assert kept_run()["run"]["how"] == "watched"
        assert state_of(pid) in "RS", "it runs on"


async def test_esc_ends_the_watch_early_and_keeps_what_was_seen(live, children):
    pid = children.python(BUSY)
    app = live(pid)
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(app, pilot, "k", "r")
        await pilot.press("y")
        await finished(pilot, "Python stacks: yes, by py-spy")
        [errand] = app.errands.under_way
        await pilot.pause(1.0)
        await pilot.press("escape")
        await finished(pilot, "report.html")
        assert errand.over and errand.stopped and errand.seconds < 9
        assert "The watch was interrupted." in kept_run()["notes"]
        assert state_of(pid) in "RS", "it runs on"


async def test_a_process_that_cannot_be_watched_is_refused_with_the_reason(live, children):
    pid = children.run(["sh", "-c", "echo ready; sleep 60"])
    app = live(pid)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await finished(pilot, str(pid))
        await pilot.press("k", "r")
        await finished(pilot, "cannot be profiled")
        await pilot.press("y")
        await pilot.pause(0.1)
        assert not app.errands.under_way

"""A screen that was opened read-only acts on nothing, runs nothing and saves nothing."""

from __future__ import annotations

import pytest

from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.screens.acts import ACTS, ActsScreen
from gpudoctor.tui.screens.deed import DeedScreen
from gpudoctor.tui.screens.environment import EnvironmentScreen
from gpudoctor.tui.screens.overview import OverviewScreen
from tests.tui.scenes import examined
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened


@pytest.fixture
def app(feed):
    return GpuDoctorApp(feed, read_only=True)


@pytest.mark.parametrize("key", sorted({act.key for act in ACTS} - {"x"}))
async def test_no_act_is_done(app, key):
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(app, pilot, "k")
        await until(pilot, lambda: isinstance(app.screen, ActsScreen))
        await pilot.press(key)
        await pilot.pause()
        assert not isinstance(app.screen, DeedScreen)
        if isinstance(app.screen, OverviewScreen):  # an act that fits this process
            await until(pilot, lambda: "this screen is read-only" in text(app))


async def test_a_process_is_still_explained(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "x")
        await until(pilot, lambda: "Explain" in text(app))


async def test_no_script_is_offered_to_be_run(app):
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, pilot)
        assert not {"Profile", "Bench"} & set(lines(app)[-1].split())
        await pilot.press("R", "B")
        await pilot.pause()
        assert isinstance(app.screen, OverviewScreen)


async def test_no_report_is_saved(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(EnvironmentScreen(examined))
        await until(pilot, lambda: "checks ran" in text(app))
        await pilot.press("S")
        await until(pilot, lambda: "nothing is saved" in text(app))
    assert list(tmp_path.iterdir()) == []

"""The last line under a dialog names the keys of the dialog, and those alone."""

from __future__ import annotations

import re
import threading

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.present.words import line
from gpudoctor.tui.deeds import Done
from gpudoctor.tui.screens.deed import DeedScreen
from gpudoctor.tui.screens.report import ReportScreen
from gpudoctor.tui.screens.run import RunScreen
from tests.tui import scenes
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened


class Looks:
    """A deed that looks again."""

    title = "Look"
    repeats = True

    def prepare(self):
        return (line("It will be looked at."),)

    def do(self):
        return Done((line("seen"),))


class Slow(Looks):
    """Ends when it is let."""

    def __init__(self):
        self.free = threading.Event()

    def do(self):
        assert self.free.wait(30)
        return super().do()


class Refused(Looks):
    def prepare(self):
        raise GpuDoctorError("it is not there")


def last(app):
    # A screen that was just opened has painted nothing yet.
    return (lines(app) or [""])[-1].strip()


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (("question_mark",), "Esc Back"),
        (("k",), "Enter Choose Esc Back"),
        (("f6",), "Enter Sort by it Esc Back"),
        (("f2",), "Enter Show or hide Esc Back"),
        (("x",), "Esc Back"),
        (("R", "f2"), "Enter Choose, or open the folder Esc Back Backspace The folder above"),
        (("ctrl+p",), "Esc Back"),
    ],
    ids=["help", "acts", "sort", "columns", "explain", "files", "palette"],
)
async def test_a_dialog_names_its_own_keys(app, keys, named):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, *keys)
        await until(pilot, lambda: last(app) == named)
        await pilot.press("escape")
        await until(pilot, lambda: last(app) != named)


async def test_a_key_that_shows_what_is_shown_already_is_not_named(app):
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, pilot)
        assert "R Profile B Bench" in last(app)
        await pilot.press("R", "shift+tab")
        await until(pilot, lambda: "B Bench" in last(app) and "R Profile" not in last(app))
        await pilot.press("R", "B")
        await until(pilot, lambda: "networks" in text(app))
        await pilot.press("shift+tab")
        await until(pilot, lambda: "R Profile" in last(app) and "B Bench" not in last(app))


async def test_a_yes_is_named_while_it_is_asked_for(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(DeedScreen(Looks()))
        await until(pilot, lambda: last(app) == "Enter Do it Esc Back")
        await pilot.press("enter")
        await until(pilot, lambda: last(app) == "Esc Back r Look again")
        assert "seen" in text(app)
        await pilot.press("r", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_the_seconds_of_what_takes_long_are_counted_and_the_time_of_a_look_is_told(app):
    deed = Slow()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(DeedScreen(deed))
        await until(pilot, lambda: last(app) == "Enter Do it Esc Back")
        await pilot.press("y")
        await until(pilot, lambda: "Working … 1s" in text(app))
        deed.free.set()
        await until(pilot, lambda: re.search(r"Look at \d\d:\d\d:\d\d", text(app)))
        assert "Working" not in text(app)


async def test_what_is_refused_asks_for_nothing(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(DeedScreen(Refused()))
        await until(pilot, lambda: "It is not there." in text(app))
        await until(pilot, lambda: last(app) == "Esc Back")


async def test_a_run_that_is_over_is_neither_stopped_nor_left_running(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        errand = scenes._Running()
        errand.code = 1
        app.push_screen(RunScreen("profile train.py", errand, lambda: "", lambda _: None))
        await until(pilot, lambda: last(app).startswith("Esc Stop, then back Backspace Leave it"))
        errand.over = True
        await until(pilot, lambda: last(app).startswith("Esc Back q Quit"))
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_a_comparison_offers_no_page(app, tmp_path):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(ReportScreen("what changed", ("--version",)))
        await until(pilot, lambda: last(app).startswith("Esc Back q Quit"))
        app.push_screen(ReportScreen("profile", ("--version",), tmp_path))
        await until(pilot, lambda: last(app).startswith("Esc Back o HTML page"))


async def test_keys_of_graphs_that_have_no_room_say_so(app):
    async with app.run_test(size=(80, 12), notifications=True) as pilot:
        await opened(app, pilot)
        for keys, words in (
            (("w",), "no room for graphs"),
            (("3", "w"), "3 shows them"),
            (("3",), "no room for graphs"),
        ):
            app.clear_notifications()
            await pilot.press(*keys)
            await until(
                pilot, lambda words=words: any(words in n.message for n in app._notifications)
            )

"""docs/ui.md names the keys that there are, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.binding import ActiveBinding, Binding
from textual.widgets import Static

from gpudoctor.tui.screens.acts import ACTS, ActsScreen
from gpudoctor.tui.screens.benches import BenchResultScreen, BenchScreen
from gpudoctor.tui.screens.deed import AskScreen
from gpudoctor.tui.screens.environment import EnvironmentScreen
from gpudoctor.tui.screens.events import EventsScreen
from gpudoctor.tui.screens.facts import FactsScreen
from gpudoctor.tui.screens.files import FileScreen
from gpudoctor.tui.screens.form import FormScreen
from gpudoctor.tui.screens.help import key_lines
from gpudoctor.tui.screens.process import ProcessScreen
from gpudoctor.tui.screens.profiles import ProfileScreen
from gpudoctor.tui.screens.report import ReportScreen
from gpudoctor.tui.screens.run import RunScreen
from gpudoctor.tui.screens.visible import VisibleScreen
from tests.tui.screen import text, until
from tests.tui.test_details import opened

PAGE = (Path(__file__).parents[2] / "docs" / "ui.md").read_text()
KEYS = PAGE.split("\n## Keys\n")[1].split("\n## ")[0]


def quoted(part):
    return set(re.findall(r"`([^`]+)`", part))


def names(actives):
    return {name for keys, _ in key_lines(actives) for name in keys.split()}


def on(node, *bindings):
    return [ActiveBinding(node, binding, True, "") for binding in bindings]


async def test_the_table_of_keys_is_that_of_the_overview(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: "Details" in text(app))
        there = names(app.screen.active_bindings.values())
    rows = [line.split("|")[1] for line in KEYS.splitlines() if line.startswith("| `")]
    assert quoted(" ".join(rows)) == there


@pytest.mark.parametrize(
    "screen",
    [
        ActsScreen,
        BenchResultScreen,
        BenchScreen,
        AskScreen,
        EnvironmentScreen,
        EventsScreen,
        FactsScreen,
        FileScreen,
        FormScreen,
        ProcessScreen,
        ProfileScreen,
        ReportScreen,
        RunScreen,
        VisibleScreen,
    ],
    ids=lambda screen: screen.__name__,
)
def test_the_keys_of_other_screens_are_described(screen):
    bindings = on(Static(), *Binding.make_bindings(screen.BINDINGS))
    known = quoted(PAGE) | {act.key for act in ACTS if f"k {act.key}" in quoted(PAGE)}
    assert not names(bindings) - known


def test_every_act_has_its_row_and_its_name():
    for act in ACTS:
        row = next(row for row in PAGE.splitlines() if f"`k {act.key}`" in row)
        assert f"**{act.name}**" in row


def test_two_actions_of_one_name_are_listed_apart():
    pair = (Binding("super+c", "copy", "Copy text"), Binding("f2", "copy", "Copy the command"))
    assert key_lines(on(Static(), *pair)) == [("super+c", "Copy text"), ("F2", "Copy the command")]


async def test_the_keys_of_a_form_leave_out_how_a_line_is_edited_and_scrolling_is_one_line(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R", "f1")
        await until(pilot, lambda: "Choose a file" in text(app))
        assert "cursor" not in text(app) and "Delete character" not in text(app)
        await pilot.press("escape", "escape", "enter", "question_mark")
        await until(pilot, lambda: "Up Down Home End PgUp PgDn  Scroll" in text(app))
        assert text(app).index("Scroll") < text(app).index("Read again") < text(app).index("Quit")

"""The command palette offers what the keys of the screen do."""

from __future__ import annotations

import pytest

from tests.tui.screen import text, until
from tests.tui.test_acts import finished
from tests.tui.test_details import opened


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Bench", "modes or settings"),
        ("Explain", "not been judged yet"),
        ("Profile", "interpreter"),
    ],
)
async def test_a_screen_is_opened_by_its_name(app, typed, shown):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "ctrl+p")
        await until(pilot, lambda: "Search" in text(app))
        await pilot.press(*typed)
        await finished(pilot, "the key")
        await pilot.press("down", "enter")
        await finished(pilot, shown)


async def test_moving_the_cursor_is_no_command_and_each_is_offered_once(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: "serve.py" in text(app))
        offered = [one.title for one in app.get_system_commands(app.screen)]
        assert len(offered) == len(set(offered))
        assert {"Filter", "Sort", "Act", "Profile", "Bench", "Events"} <= set(offered)
        assert not {"Row up", "Page down", "Other table"} & set(offered)


async def test_keys_have_the_same_names_in_the_palette_as_in_the_help(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        told = {one.title: one.help for one in app.get_system_commands(app.screen)}
        assert told["Choose columns"] == "the key F2"
        assert told["Clear the filter"] == "the key Esc"

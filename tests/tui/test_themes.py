from __future__ import annotations

import re

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.themes import NAMES, checked, following
from tests.tui.feeds import ScriptedFeed


def test_an_unknown_theme_is_refused_with_the_one_that_was_meant():
    with pytest.raises(GpuDoctorError) as caught:
        checked("ligth")
    assert caught.value.hint == "Did you mean light?"


@pytest.mark.parametrize("name", [*NAMES, "textual-dark", "nord"])
def test_our_themes_and_those_of_textual_are_known(name):
    assert checked(name) == name


def test_the_theme_key_goes_round_through_all_themes():
    seen = [NAMES[0]]
    for _ in NAMES:
        seen.append(following(seen[-1]))
    assert set(seen) == set(NAMES)
    assert seen[-1] == NAMES[0]
    assert following("nord") == NAMES[0]


@pytest.mark.parametrize("name", [*NAMES, "nord"])
async def test_every_theme_opens_and_a_key_changes_it(feed, name):
    app = GpuDoctorApp(feed, theme=name)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("L")
        assert app.theme == following(name)


async def test_without_colour_nothing_on_the_screen_has_one(feed, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = GpuDoctorApp(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.no_color
        picture = app.export_screenshot()
    colours = {value.lower() for value in re.findall(r"fill: (#[0-9a-fA-F]{6})", picture)}
    colours.discard("#c5c8c6")  # the picture's frame, not the terminal
    assert colours
    assert all(value[1:3] == value[3:5] == value[5:7] for value in colours), colours


def test_an_empty_feed_needs_no_machine():
    assert GpuDoctorApp(ScriptedFeed()).snapshot is None

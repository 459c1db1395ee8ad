"""What is kept of the screen from one time to the next."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace

import pytest

from gpudoctor.cli.painting import kept, paint
from gpudoctor.config import TuiSettings
from gpudoctor.errors import GpuDoctorError
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.look import Look, load, save
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened
from tests.tui.test_overview import pids


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "state" / "ui.json"
    monkeypatch.setenv("GPUDOCTOR_UI_STATE", str(path))
    return path


CHANGED = Look("light", "pid", False, "1 h", ("host", "graphs"), "power", False)


def test_what_is_written_is_read_again_and_is_for_this_user_alone(file):
    save(file, CHANGED)
    assert load(file) == (CHANGED, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert os.listdir(file.parent) == ["ui.json"]


def test_without_a_file_nothing_is_said(file):
    assert load(file) == (Look(), "")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[]", "another version"),
        (b'{"version": 99, "theme": "light"}', "another version"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_and_left_as_it_is(file, content, word):
    file.parent.mkdir()
    file.write_bytes(content)
    look, said = load(file)
    assert look == Look()
    assert word in said and str(file) in said
    assert file.read_bytes() == content


def test_an_entry_that_means_nothing_is_left_out_and_the_others_are_kept(file):
    file.parent.mkdir()
    odd = {"version": 1, "theme": "gone", "sort": "pid", "down": 1, "window": 7, "later": [1]}
    file.write_text(json.dumps({**odd, "hidden": ["graphs", "nonsense", 3], "fleet_sort": []}))
    assert load(file) == (replace(Look(), sort="pid", hidden=("graphs",)), "")


def test_a_folder_that_cannot_be_written_is_an_error_with_a_way_out(file):
    file.parent.write_text("no folder")
    with pytest.raises(GpuDoctorError, match="cannot be kept") as caught:
        save(file, Look())
    assert "tui.remember" in caught.value.hint


def test_a_link_in_place_of_the_file_is_replaced_and_not_written_through(file, tmp_path):
    file.parent.mkdir()
    target = tmp_path / "target"
    file.symlink_to(target)
    save(file, CHANGED)
    assert not target.exists()
    assert load(file) == (CHANGED, "")
    assert file.lstat().st_mode & 0o777 == 0o600


async def left(app, *keys):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, *keys)
        return app.left()


async def test_a_screen_begins_as_it_was_left(feed):
    look = await left(GpuDoctorApp(feed), "N", "w", "1", "3", "L")
    assert look == Look("light", "pid", False, "10 min", ("host", "graphs"))
    app = GpuDoctorApp(feed, look=look)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        assert app.theme == "light"
        assert pids(app) == [100, 200, 300]
        assert "load" not in lines(app)[1]
        assert "10 min" not in text(app)
        await pilot.press("1", "3")
        await until(pilot, lambda: "load" in lines(app)[1] and "10 min" in text(app))
        assert app.left() == replace(look, hidden=())


async def test_the_theme_of_the_settings_wins_and_is_not_taken_for_a_choice(feed):
    app = GpuDoctorApp(feed, theme="plain", look=Look(theme="light"))
    assert await left(app) == Look(theme="light")
    assert app.theme == "plain"


async def test_what_is_hidden_leaves_its_lines_to_the_others(app):
    async with app.run_test(size=(100, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("1", "2", "3")
        await until(pilot, lambda: " PID" in lines(app)[4])


async def test_a_complaint_about_the_file_is_shown(feed):
    app = GpuDoctorApp(feed, complaint="ui.json is damaged")
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "ui.json is damaged" in text(app))


class Left(GpuDoctorApp):
    """An application that somebody has just left."""

    def __init__(self, feed, look):
        super().__init__(feed)
        self._look = look

    def run(self, *arguments, **options):
        self.look = self._look


def test_only_a_change_is_written_and_only_where_it_is_to_be_remembered(file, feed, capsys):
    paint(Left(feed, Look()), TuiSettings())
    paint(Left(feed, CHANGED), TuiSettings(remember=False))
    paint(Left(feed, CHANGED), TuiSettings(), keep=False)
    assert not file.parent.exists()
    paint(Left(feed, CHANGED), TuiSettings())
    assert kept(TuiSettings()) == (CHANGED, "")
    assert kept(TuiSettings(remember=False)) == (Look(), "")
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("")
    paint(Left(feed, CHANGED), TuiSettings())
    assert "cannot be kept" in capsys.readouterr().err


def test_off_neither_reads_nor_writes(feed, monkeypatch):
    monkeypatch.setenv("GPUDOCTOR_UI_STATE", "off")
    paint(Left(feed, CHANGED), TuiSettings())
    assert kept(TuiSettings()) == (Look(), "")

"""Profiles real little scripts from the screen."""

from __future__ import annotations

import json

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.tui.removal import Remove
from gpudoctor.tui.sessions import Kept, kept_profiles, new_folder, profiles, progress
from tests.tui.screen import lines, text, until
from tests.tui.test_acts import finished
from tests.tui.test_details import opened

QUICK = "import sys\nprint('given', sys.argv[1:])\nsum(range(1000000))\n"
ENDLESS = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)\n"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A state folder and a working folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DISPLAY", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def typed(words):
    names = {" ": "space", ".": "full_stop", "/": "slash", "_": "underscore", "-": "minus"}
    return [names.get(one, one) for one in words]


async def begun(app, pilot, name, arguments=""):
    """Type the script's name and start it."""
    await opened(app, pilot, "R")
    await finished(pilot, "its arguments")
    await pilot.press(*typed(name), "tab", *typed(arguments), "enter")


def planted(place, name, findings=(), how="finished", at=1_700_000_000.0, **run):
    """A profile as the command leaves it, as far as the list reads it."""
    folder = new_folder(place, name, at)
    folder.mkdir()
    facts = {"program": [name], "started_at": at, "wall_seconds": 2.0, "how": how, **run}
    (folder / "profile.json").write_text(json.dumps({"run": facts, "findings": list(findings)}))
    return folder


async def test_a_script_is_profiled_followed_and_reported_and_kept(app, home):
    (home / "quick.py").write_text(QUICK)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(app, pilot, "quick.py", "--epochs 3")
        await finished(pilot, "Nothing to complain about")
        page = text(app)
        assert "report.html" in page and "quick.py --epochs 3" in page
        await pilot.press("escape")
        await finished(pilot, "nothing to complain about")
        assert "quick.py --epochs 3" in text(app)
        [kept] = kept_profiles(profiles())
        assert (kept.folder / "report.html").exists()
        await pilot.press("tab", "tab", "tab", "tab", "enter")
        await finished(pilot, "Nothing to complain about")


async def test_what_the_script_says_is_shown_while_it_runs_and_esc_ends_it_with_its_profile(
    app, home
):
    (home / "endless.py").write_text(ENDLESS)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(app, pilot, "endless.py")
        await finished(pilot, "begun")
        assert "running" in text(app)
        [errand] = app.errands.under_way
        await finished(pilot, "no step yet")
        await pilot.press("escape")
        await finished(pilot, "interrupted")
        assert errand.over and errand.stopped
        [kept] = kept_profiles(profiles())
        assert json.loads((kept.folder / "profile.json").read_text())["run"]["how"] == "interrupted"


async def test_a_profile_that_is_left_running_goes_on_and_its_end_is_told(app, home):
    (home / "slow.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(1.5)\n")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await begun(app, pilot, "slow.py")
        await finished(pilot, "begun")
        await pilot.press("backspace")
        await finished(pilot, "its arguments")
        assert app.errands.under_way
        await finished(pilot, "its result is kept")
        await finished(pilot, "nothing to complain about")


async def test_a_script_that_fails_is_reported_and_one_that_is_not_there_is_not_begun(app, home):
    (home / "fails.py").write_text("raise ValueError('too many legs')\n")
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(app, pilot, "missing.py")
        await finished(pilot, "there is no script missing.py")
        assert not app.errands.under_way and not profiles().exists()
        await pilot.press("shift+tab", "home", *["delete"] * 10, *typed("fails.py"), "enter")
        await finished(pilot, "ended by an exception at fails.py:1")
        await pilot.press("escape")
        await finished(pilot, "failed: ValueError: too many legs")


async def test_a_command_that_keeps_nothing_says_why(app, home):
    (home / "quick.py").write_text(QUICK)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "its arguments")
        await pilot.press(*typed("quick.py"), "tab", "tab", *typed("nopython"), "enter")
        await until(pilot, lambda: "there is no interpreter" in lines(app)[1])
        await pilot.press("escape")
        await finished(pilot, "its arguments")


async def test_the_file_is_chosen_from_the_folders(app, home):
    (home / "notes.txt").write_text("no script")
    (home / "train.py").write_text(QUICK)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await pilot.press("f2")
        await finished(pilot, "Choose a script")
        await finished(pilot, "train.py")
        assert "notes.txt" not in text(app)
        await pilot.press("down", "enter")
        await finished(pilot, "its arguments")
        assert app.screen.value("script") == "train.py"


async def test_two_tagged_profiles_are_compared_the_older_with_the_newer(app, home):
    (home / "quick.py").write_text(QUICK)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(app, pilot, "quick.py")
        await finished(pilot, "Nothing to complain about")
        await pilot.press("escape")
        await finished(pilot, "Kept in")
        await pilot.press("enter")
        await finished(pilot, "Nothing to complain about")
        await pilot.press("escape", "tab", "tab", "tab")
        await finished(pilot, "Kept in")
        await pilot.pause(0.2)
        await pilot.press("d")
        await finished(pilot, "Tag two")
        await pilot.press("home", "space", "space")
        await finished(pilot, "*")
        await pilot.press("d")
        await finished(pilot, "what changed")
        older, newer = sorted(str(one.folder) for one in kept_profiles(profiles()))
        assert app.screen._arguments == ("profile", "--diff", older, newer)
        await finished(pilot, "BEFORE")


async def test_without_a_display_the_reports_place_is_told_and_copied(app):
    folder = planted(profiles(), "train.py")
    async with app.run_test(size=(160, 40), notifications=True) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "train.py")
        await pilot.press("tab", "tab", "tab", "tab", "o")
        await finished(pilot, "there is no display here")
        assert app.clipboard == str(folder / "report.html")


async def test_a_session_that_is_damaged_is_told_and_not_crashed_on(app):
    planted(profiles(), "odd\x1b[2J.py", how="exception", exception="[red]x\x1b[31m")
    (profiles() / "zz-broken").mkdir()
    (profiles() / "zz-broken" / "profile.json").write_text("{")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "failed: [red]x")
        assert "\x1b" not in text(app)
        await pilot.press("tab", "tab", "tab", "tab", "enter")
        await finished(pilot, "cannot be shown")


async def test_the_newest_stand_first_with_their_worst_finding(app):
    place = profiles()
    found = [
        {"summary": "the GPU waits for data", "severity": "warning"},
        {"summary": "second", "severity": "info"},
    ]
    planted(place, "old.py", at=1_700_000_000.0)
    planted(place, "new.py", found, at=1_700_100_000.0)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "the GPU waits for data (+1 more)")
        page = text(app)
        assert page.index("new.py") < page.index("old.py")


def test_progress_tells_the_steps_and_the_profilers_window(tmp_path):
    assert progress(tmp_path) == ""
    now = {"steps": {"count": 120}, "batches": {"count": 121}, "window": {"state": "active"}}
    (tmp_path / "session.json").write_text(json.dumps(now))
    assert progress(tmp_path) == "120 steps, torch's profiler looks"
    (tmp_path / "session.json").write_text(json.dumps({"forwards": {"count": 3}}))
    assert progress(tmp_path) == "3 calls"


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path):
    first = new_folder(tmp_path / "p", "../my script", 0.0)
    assert first.parent == tmp_path / "p" and "/" not in first.name and " " not in first.name
    first.mkdir()
    assert new_folder(tmp_path / "p", "../my script", 0.0) != first


def test_a_state_folder_that_cannot_be_made_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be made") as raised:
        new_folder(tmp_path / "file" / "profiles", "x", 0.0)
    assert "XDG_STATE_HOME" in raised.value.hint


async def test_backspace_shows_the_folder_above_and_esc_chooses_nothing(app, home):
    (home / "inner").mkdir()
    (home / "inner" / "deep.py").write_text(QUICK)
    (home / "outer.py").write_text(QUICK)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "its arguments")
        app.screen.query_one("#script").value = "inner/deep.py"
        await pilot.press("f2")
        await finished(pilot, "deep.py")
        assert "outer.py" not in text(app)
        await pilot.press("backspace")
        await finished(pilot, "outer.py")
        await pilot.press("escape")
        await finished(pilot, "its arguments")
        assert app.screen.value("script") == "inner/deep.py"


def planted_ranks(place, name, findings=(), hows=("finished", "finished")):
    """What several ranks leave, as far as the list reads it."""
    folder = planted(place, name)
    at = 1_700_000_000.0
    runs = [
        {"program": [name], "started_at": at + n, "wall_seconds": 9.0, "how": how, "exception": how}
        for n, how in enumerate(hows)
    ]
    ranks = [{"finding": one, "ranks": [0]} for one in findings]
    made = {"world_size": len(runs), "profiles": [{"run": run} for run in runs], "findings": ranks}
    (folder / "profile.json").write_text(json.dumps(made))
    return folder


def test_a_run_of_several_ranks_is_one_line_with_what_they_show_together(home):
    found = {"summary": "Rank 1 holds the others up.", "severity": "warning"}
    planted_ranks(profiles(), "ddp.py", [found])
    [kept] = kept_profiles(profiles())
    assert kept.program == ("ddp.py",) and kept.seconds == 10.0
    assert kept.verdict == "2 ranks: Rank 1 holds the others up."


def test_a_rank_that_failed_is_what_is_said_of_all(home):
    planted_ranks(profiles(), "ddp.py", hows=("finished", "exception"))
    [kept] = kept_profiles(profiles())
    assert kept.verdict == "2 ranks: failed: exception"


def test_the_first_of_several_ranks_says_how_far_they_are(home):
    folder = home / "ranks"
    (folder / "rank0").mkdir(parents=True)
    (folder / "rank0" / "session.json").write_text('{"steps": {"count": 7}}')
    assert progress(folder) == "7 steps"


async def test_a_profile_is_deleted_after_a_question_and_the_list_is_read_again(app, home):
    first, second = planted(profiles(), "a.py"), planted(profiles(), "b.py", at=1_700_000_100.0)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "a.py")
        await pilot.press("tab", "tab", "tab", "tab", "home", "D")
        await finished(pilot, "do it")
        assert second.name in text(app) and first.name not in text(app)
        await pilot.press("n")
        await until(pilot, lambda: "do it" not in text(app))
        assert second.exists()
        await pilot.press("D")
        await finished(pilot, "do it")
        await pilot.press("y")
        await finished(pilot, "is deleted")
        assert not second.exists() and first.exists()
        await pilot.press("escape")
        await until(pilot, lambda: "b.py" not in text(app) and "a.py" in text(app))


async def test_all_tagged_profiles_are_deleted_together(app, home):
    folders = [planted(profiles(), f"{name}.py") for name in "abc"]
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "a.py")
        await pilot.press("tab", "tab", "tab", "tab", "home", "space", "space", "D")
        await finished(pilot, "do it")
        await pilot.press("y")
        await until(pilot, lambda: text(app).count("is deleted") == 2)
        assert [folder.exists() for folder in folders].count(True) == 1


def test_nothing_beside_the_profiles_is_deleted(home):
    outside = home / "precious"
    outside.mkdir()
    link = profiles() / "link"
    planted(profiles(), "a.py")
    link.symlink_to(outside)
    for folder in (outside, link):
        remove = Remove([Kept(folder, ("x",), 0.0, None, "")], profiles())
        with pytest.raises(GpuDoctorError, match="is no folder of"):
            remove.prepare()
        assert not remove.do().ok
    assert outside.exists() and link.is_symlink()


async def test_a_number_of_processes_is_given_to_the_command(app, home):
    (home / "quick.py").write_text(QUICK)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "R")
        await finished(pilot, "its arguments")
        await pilot.press(*typed("quick.py"), "tab", "tab", "tab", *typed("none"), "enter")
        await finished(pilot, "takes a number")

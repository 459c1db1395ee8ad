"""Processes below what launched them, on the screen."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.present.glyphs import ASCII
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.families import played_families
from gpudoctor.tui.look import Look
from tests.builders import AT, GIB, device, process, snapshot
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened
from tests.tui.test_overview import pids


@pytest.fixture
def played():
    """A recording: two ranks of one launcher, and a process whose parent is nobody."""
    ranks = tuple(process(200 + n, n, 20 * GIB, parent_pid=190) for n in (0, 1))
    alone = process(300, 1, 30 * GIB, user="cho", parent_pid=1, command=("bash",))
    return ScriptedFeed(snapshot(device(0), device(1), processes=(*ranks, alone), source="replay"))


async def test_t_shows_the_tree_and_the_list_again(played):
    app = GpuDoctorApp(played)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        assert pids(app) == [300, 200, 201]
        await pilot.press("t")
        await until(pilot, lambda: pids(app) == [300, 190, 200, 201])
        assert any("├─ python train.py" in line and " 200 " in line for line in lines(app))
        assert app.left() == Look(tree=True)
        await pilot.press("f5")
        await until(pilot, lambda: pids(app) == [300, 200, 201])


async def test_the_tree_is_remembered(played):
    app = GpuDoctorApp(played, look=Look(tree=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: pids(app) == [300, 190, 200, 201])


async def test_left_goes_to_the_parent_and_folds_it_and_right_unfolds(played):
    app = GpuDoctorApp(played, look=Look(tree=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "end", "left")
        assert app.screen._table.selected == "190@above"
        await pilot.press("left")
        await until(pilot, lambda: pids(app) == [300, 190])
        assert "40.00" in text(app) and "▸ +2" in text(app)
        await pilot.press("right")
        await until(pilot, lambda: pids(app) == [300, 190, 200, 201])
        await pilot.press("enter")
        await until(pilot, lambda: pids(app) == [300, 190])


async def test_a_launcher_without_a_name_is_said_to_be_one(played):
    app = GpuDoctorApp(played, look=Look(tree=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: "[its launcher, no name recorded]" in text(app))


def test_the_demo_names_what_launched_its_processes():
    shot = DemoTimeline(AT).at(60.0)
    named = played_families(shot)
    parents = {row.parent_pid for row in shot.processes} - {1}
    assert {above[0].pid for above in named.values()} == parents
    assert all(above[0].command for above in named.values())


async def test_a_family_is_tagged_as_a_whole_and_acted_on_as_such(played):
    app = GpuDoctorApp(played, look=Look(tree=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "home", "down", "a")
        await until(pilot, lambda: text(app).count(" *ana") == 2)
        await pilot.press("k")
        await until(pilot, lambda: "2 processes" in text(app))
        await pilot.press("escape", "up", "up", "down", "a")
        await until(pilot, lambda: "*ana" not in text(app))


async def test_act_on_the_launcher_is_to_act_on_its_processes(played):
    app = GpuDoctorApp(played, look=Look(tree=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "home", "down", "k")
        await until(pilot, lambda: "2 processes" in text(app))


async def test_the_filter_keeps_the_parents_of_what_it_finds(played):
    app = GpuDoctorApp(played, look=Look(tree=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "slash", *"pid:201", "enter")
        await until(pilot, lambda: pids(app) == [190, 201])


async def test_the_tree_is_drawn_in_plain_ascii_too(played):
    app = GpuDoctorApp(played, look=Look(tree=True), set_=ASCII)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        assert "|- python train.py" in text(app) and "`- python train.py" in text(app)
        assert text(app).isascii()


async def test_launchers_of_live_processes_are_read_from_the_system():
    child = "import time; print('up', flush=True); time.sleep(60)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert launcher.stdout is not None and launcher.stdout.readline()
        (rank,) = _children(launcher.pid)
        row = process(rank, started=AT - 5, parent_pid=launcher.pid)
        feed = ScriptedFeed(replace(snapshot(processes=(row,)), taken_at=time.time()))
        app = GpuDoctorApp(feed, look=Look(tree=True))
        async with app.run_test(size=(160, 40)) as pilot:
            await opened(app, pilot)
            await until(pilot, lambda: pids(app)[-2:] == [launcher.pid, rank])
            assert any(f"▾ {sys.executable}" in line for line in lines(app))
    finally:
        for pid in _children(launcher.pid):
            subprocess.run(["kill", "-9", str(pid)], check=False)
        launcher.kill()
        launcher.wait()


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(one) for one in file.read().split()]


async def test_every_column_sorts_and_a_second_time_turns_round(played):
    from gpudoctor.present import processes

    app = GpuDoctorApp(played)
    async with app.run_test(size=(200, 40)) as pilot:
        await opened(app, pilot)
        for column in processes.COLUMNS:
            app.screen.action_sort_by(column.key)
            await pilot.pause()
            assert app.look.sort == column.key
            title = next(line for line in lines(app) if "PID" in line and "USER" in line)
            if column.title in title:
                assert f"{column.title}▲" in title or f"{column.title}▼" in title


async def test_columns_are_hidden_shown_and_remembered(played):
    app = GpuDoctorApp(played)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "f2")
        await until(pilot, lambda: "Columns" in text(app))
        await pilot.press("enter", "down", "down", "space", "escape")
        await until(pilot, lambda: "USER" not in lines(app)[-2] and "MEM GiB" not in text(app))
        assert "ana" not in "".join(line for line in lines(app) if "train.py" in line)
        assert app.left().columns_hidden == ("user", "memory")
    again = GpuDoctorApp(played, look=app.left())
    async with again.run_test(size=(120, 40)) as pilot:
        await opened(again, pilot)
        assert "MEM GiB" not in text(again)
        await pilot.press("f2", "enter", "escape")
        await until(pilot, lambda: any("PID USER" in line for line in lines(again)))

"""What the mouse does, and what is copied through the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.events import MouseScrollDown, MouseScrollUp

from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.screens.process import ProcessScreen
from gpudoctor.tui.widgets.grid import Grid
from tests.builders import GIB, device, process, snapshot, uuid_of
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened
from tests.tui.test_overview import pids


def table(app):
    return app.screen.query_one("#processes", Grid)


async def test_a_click_selects_a_row_and_a_double_click_opens_it(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        await pilot.click("#processes", offset=(10, 2))
        await until(pilot, lambda: table(app).selected.startswith("300@"))
        await pilot.click("#processes", offset=(10, 3), times=2)
        await until(pilot, lambda: isinstance(app.screen, ProcessScreen))
        await until(pilot, lambda: "pid  100" in text(app))


async def test_a_double_click_below_the_last_row_opens_nothing(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        await pilot.click("#processes", offset=(10, 6), times=2)
        await pilot.pause()
        assert not isinstance(app.screen, ProcessScreen)


async def test_a_click_on_a_gpu_gives_the_keys_to_its_table(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        await pilot.click("#devices", offset=(10, 2))
        await until(pilot, lambda: app.focused.id == "devices")
        assert app.focused.selected == uuid_of(1)


@pytest.fixture
def crowded():
    rows = tuple(process(1000 + i, used=(200 - i) * 2**20) for i in range(100))
    return GpuDoctorApp(ScriptedFeed(snapshot(device(0), processes=rows)))


async def test_the_wheel_scrolls_the_rows_under_a_header_that_stays(crowded):
    async with crowded.run_test(size=(100, 24)) as pilot:
        await opened(crowded, pilot)
        assert pids(crowded)[0] == 1000
        wheel = pilot._post_mouse_events
        for _ in range(3):
            await wheel([MouseScrollDown], widget="#processes", offset=(10, 3))
        await until(pilot, lambda: pids(crowded)[0] > 1001)
        assert any(" PID" in line for line in lines(crowded))
        assert table(crowded).selected.startswith("1000@"), "the wheel moves no cursor"
        first = pids(crowded)[0]
        await pilot.click("#processes", offset=(10, 1))
        await until(pilot, lambda: table(crowded).selected.startswith(f"{first}@"))
        for _ in range(9):
            await wheel([MouseScrollUp], widget="#processes", offset=(10, 3))
        await until(pilot, lambda: pids(crowded)[0] == 1000)


async def test_c_copies_the_pid_or_the_uuid_under_the_cursor(app):
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await opened(app, pilot, "down", "c")
        assert app.clipboard == "300"
        await until(pilot, lambda: "Copied" in text(app))
        await pilot.press("shift+tab", "down", "c")
        assert app.clipboard == uuid_of(1)
        await pilot.press("enter")
        await until(pilot, lambda: "compute capability" in text(app))
        await pilot.press("c")
        assert app.clipboard == uuid_of(1)


async def test_a_copied_command_is_what_a_shell_takes(app, feed):
    odd = process(7, used=70 * GIB, command=("python", "my train.py", "--name=a'b"))
    feed.publish(replace(feed.latest, processes=(odd,)))
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot, "C")
        assert app.clipboard == """python 'my train.py' '--name=a'"'"'b'"""
        await pilot.press("enter", "c")
        await until(pilot, lambda: app.clipboard == "7")
        await pilot.press("C")
        assert app.clipboard.startswith("python 'my train.py'")


async def test_the_right_button_copies_the_cell_and_selects_nothing(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        header = next(line for line in lines(app) if " PID" in line)
        x = header.index("COMMAND") - 1
        await pilot.click("#processes", offset=(x, 1), button=3)
        assert app.clipboard == "python serve.py"
        await pilot.click("#processes", offset=(x, 3), button=3)
        assert app.clipboard == "python train.py"
        assert table(app).selected.startswith("200@")

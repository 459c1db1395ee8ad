"""Every screen in tiny and huge terminals, and while their size changes."""

from __future__ import annotations

import pytest
from rich.console import Console

from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.present.words import line
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.screens.sheet import Sheet
from gpudoctor.tui.widgets.grid import Grid
from tests.builders import AT, device, process, snapshot
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until

SIZES = [(40, 10), (300, 100)]
# The screens, one after the other.
WAYS = ("", "enter", "e", "v", "question_mark", "f6", "k", "x", "slash")


async def begun(app, pilot):
    await until(pilot, lambda: app.snapshot is not None)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_screen_opens_is_resized_and_closes_in_every_size(size):
    app = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)))
    async with app.run_test(size=size) as pilot:
        await begun(app, pilot)
        for key in WAYS:
            if key:
                await pilot.press(key)
            await pilot.pause()
            page = lines(app)
            assert len(page) == size[1]
            assert all(len(line) <= size[0] for line in page)
            other = (size[1] * 2, size[0] // 2)
            await pilot.resize_terminal(*other)
            await pilot.resize_terminal(*size)
            if key:
                await pilot.press("escape")
        assert len(app.screen_stack) == 1
        await pilot.press("q")
    assert app.return_code == 0


async def test_one_to_sixteen_gpus_and_two_processes_are_seen_in_24_lines():
    feed = ScriptedFeed()
    app = GpuDoctorApp(feed)
    async with app.run_test(size=(80, 24)) as pilot:
        for gpus in range(1, 17):
            rows = tuple(process(1000 + i, i) for i in range(gpus))
            feed.publish(snapshot(*map(device, range(gpus)), processes=rows))
            await until(pilot, lambda: len(app.screen.query_one("#devices", Grid)._rows) == gpus)  # noqa: B023
            await pilot.pause()
            page = lines(app)
            assert [line.split()[0] for line in page[3 : 3 + gpus]] == list(map(str, range(gpus)))
            assert sum(line.split()[:1] > ["100"] for line in page[4 + gpus :]) >= min(2, gpus)
            assert "Help" in page[-1]


async def test_a_narrow_title_loses_versions_and_never_that_the_machine_is_simulated():
    app = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)))
    async with app.run_test(size=(40, 10)) as pilot:
        await begun(app, pilot)
        assert lines(app)[0].split() == ["gpudoctor", "SIMULATED", "14:14:20"]
        await pilot.resize_terminal(60, 10)
        await until(pilot, lambda: "demo-node" in lines(app)[0])
        assert "SIMULATED" in lines(app)[0] and "CUDA" not in lines(app)[0]
        await pilot.resize_terminal(80, 10)
        await until(pilot, lambda: "CUDA 13.0" in lines(app)[0])


async def test_a_tiny_terminal_still_shows_gpus_and_leads_to_every_row():
    rows = tuple(process(1000 + i, i % 4) for i in range(30))
    app = GpuDoctorApp(ScriptedFeed(snapshot(*map(device, range(4)), processes=rows)))
    async with app.run_test(size=(40, 10)) as pilot:
        await begun(app, pilot)
        assert [line.split()[0] for line in lines(app)[3:5]] == ["0", "1"]
        table = app.screen.query_one("#processes", Grid)
        await pilot.press("end")
        await until(pilot, lambda: table.selected.startswith("1029@"))
        await until(pilot, lambda: any(line.split()[:1] == ["1029"] for line in lines(app)))


async def test_among_sixteen_colours_the_row_under_the_cursor_is_reversed():
    app = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)))
    app.console = Console(color_system="standard", force_terminal=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await begun(app, pilot)
        strips = app.screen._compositor.render_strips()
        chosen = app.screen.query_one("#processes", Grid).selected.partition("@")[0]
        for strip in strips:
            of_row = chosen in strip.text
            assert any(part.style and part.style.reverse for part in strip) is of_row


@pytest.mark.parametrize("width", [40, 60, 80])
async def test_a_question_that_is_too_wide_for_the_terminal_is_wrapped_and_not_cut(width):
    app = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)))
    words = [f"word{number}" for number in range(20)]
    async with app.run_test(size=(width, 24)) as pilot:
        app.push_screen(Sheet("Title", [line(" ".join(words))]))
        await until(pilot, lambda: "word0" in text(app))
        await until(pilot, lambda: all(word in text(app) for word in words))


@pytest.mark.parametrize(("height", "rows"), [(24, 3), (40, 6)])
async def test_the_graph_above_the_details_leaves_room_for_them_in_a_low_terminal(height, rows):
    app = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)))
    async with app.run_test(size=(80, height)) as pilot:
        await begun(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "full height" in text(app))
        shown = [row.strip() for row in lines(app)]
        title = next(i for i, row in enumerate(shown) if "full height" in row)
        assert shown.index("Process") - title - 2 == rows

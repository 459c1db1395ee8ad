from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input

from gpudoctor.model.readings import UtilizationReading
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.present.glyphs import ASCII
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.widgets.grid import Grid
from tests.builders import AT, GIB, device, process, snapshot
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until


def pids(app):
    """The pids in the process table, top to bottom."""
    shown = lines(app)
    first = next(i for i, line in enumerate(shown) if " PID" in line and "USER" in line)
    return [
        int(line.split()[0])
        for line in shown[first + 1 :]
        if line.split()[:1] and line.split()[0].isdigit()
    ]


async def shown(app, pilot):
    await until(pilot, lambda: app.snapshot is not None and "PID" in text(app))
    await pilot.pause()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("gpus", [1, 8, 16])
async def test_gpus_processes_and_keys_are_on_every_terminal(width, height, gpus):
    rows = tuple(process(1000 + i, i) for i in range(gpus))
    feed = ScriptedFeed(snapshot(*(device(i) for i in range(gpus)), processes=rows))
    app = GpuDoctorApp(feed)
    async with app.run_test(size=(width, height)) as pilot:
        await shown(app, pilot)
        page = lines(app)
        assert len(page) == height
        assert "node" in page[0] and "580.95.05" in page[0] and "CUDA 13.0" in page[0]
        assert "load" in page[1]
        assert page[2].split()[:1] == ["GPU"]
        assert [line.split()[0] for line in page[3 : 3 + gpus]] == [str(i) for i in range(gpus)]
        assert "Filter" in page[-1] and "Help" in page[-1]
        assert len(pids(app)) >= min(gpus, 2)


async def test_the_machine_of_the_demo_is_marked_as_simulated_and_a_real_one_is_not(app):
    demo = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)))
    async with demo.run_test(size=(80, 24)) as pilot:
        await shown(demo, pilot)
        assert "SIMULATED" in lines(demo)[0]
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(app, pilot)
        assert "SIMULATED" not in text(app)


async def test_processes_are_sorted_by_memory_until_another_column_is_chosen(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        assert pids(app) == [200, 300, 100]
        await pilot.press("I")
        assert pids(app) == [100, 300, 200]
        await pilot.press("f6", "home", "enter")
        await pilot.pause()
        assert pids(app) == [100, 200, 300]
        await pilot.press("N")
        assert pids(app) == [300, 200, 100]


async def test_a_click_on_a_title_sorts_by_it(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        await pilot.click("#processes", offset=(5, 0))
        await pilot.pause()
        assert pids(app) == [100, 200, 300]


async def test_the_filter_works_while_it_is_typed_stays_after_enter_and_goes_with_escape(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        await pilot.press("slash", *"serve")
        assert pids(app) == [200]
        assert "1 of 3" in text(app)
        await pilot.press("enter")
        assert app.focused.id == "processes"
        assert pids(app) == [200]
        await pilot.press("escape")
        assert pids(app) == [200, 300, 100]
        assert "filter " not in text(app)


async def test_letters_typed_into_the_filter_are_no_commands(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        theme = app.theme
        await pilot.press("slash", *"qtpe")
        assert app.is_running
        assert app.theme == theme
        assert not app.paused
        assert app.screen.query_one(Input).value == "qtpe"


async def test_the_cursor_follows_its_process_when_the_order_changes(app, feed):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        table = app.screen.query_one("#processes", Grid)
        await pilot.press("end")
        assert table.selected.startswith("100@")
        first = feed.latest
        grown = tuple(
            replace(row, memory_used_bytes=70 * GIB) if row.pid == 100 else row
            for row in first.processes
        )
        feed.publish(replace(first, processes=grown))
        await until(pilot, lambda: pids(app) == [100, 200, 300])
        assert table.selected.startswith("100@")


async def test_a_paused_picture_stands_still_and_says_so(app, feed):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        await pilot.press("p")
        assert "PAUSED" in lines(app)[0]
        feed.publish(replace(feed.latest, processes=()))
        await pilot.pause(0.1)
        assert pids(app) == [200, 300, 100]
        await pilot.press("p")
        feed.publish(replace(feed.latest, processes=()))
        await until(pilot, lambda: "No process uses a GPU" in text(app))
        assert "PAUSED" not in lines(app)[0]


async def test_a_stale_gpu_stays_on_the_screen_and_says_since_when(app, feed):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        stale = device(1, state=DeviceState.STALE, stale_since=AT - 12)
        feed.publish(replace(feed.latest, devices=(device(0), stale)))
        await until(pilot, lambda: "stale 12s" in text(app))
        assert "GPU 1 has not answered for 12s" in text(app)


async def test_gpus_that_come_and_go_are_followed(app, feed):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        feed.publish(snapshot(*(device(i) for i in range(4))))
        await until(pilot, lambda: lines(app)[6].split()[:1] == ["3"])
        feed.publish(snapshot(device(0)))
        await until(pilot, lambda: lines(app)[4].split()[:1] != ["1"])


async def test_the_screen_follows_the_size_of_the_terminal_at_once(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(app, pilot)
        assert "TENSOR" not in text(app)
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: "TENSOR" in text(app) and "█" in text(app))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "TENSOR" not in text(app))


async def test_only_the_cells_that_changed_are_painted_again():
    rows = tuple(process(1000 + i, index=i % 2, used=(600 - i) * 2**20) for i in range(500))
    first = snapshot(device(0), device(1), processes=rows)
    feed = ScriptedFeed(first)
    app = GpuDoctorApp(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, pilot)
        table, gpus = (app.screen.query_one(name, Grid) for name in ("#processes", "#devices"))
        before = table.painted_cells, gpus.painted_cells
        changed = (replace(rows[0], cpu_ratio=0.5), *rows[1:])
        busy = device(1, utilization=UtilizationReading(0.9, 0.1))
        feed.publish(replace(first, devices=(device(0), busy), processes=changed))
        await until(pilot, lambda: "50%" in text(app) and "90%" in text(app))
        assert table.painted_cells - before[0] == 1
        assert gpus.painted_cells - before[1] == 1
        feed.publish(replace(first, devices=(device(0), busy), processes=changed))
        await pilot.pause(0.1)
        assert table.painted_cells - before[0] == 1


async def test_the_ascii_screen_holds_nothing_but_ascii():
    app = GpuDoctorApp(ScriptedFeed(DemoTimeline(AT).at(60)), set_=ASCII)
    async with app.run_test(size=(100, 22), notifications=True) as pilot:
        await shown(app, pilot)
        for keys in (
            (),
            ("e",),
            ("escape", "enter"),
            ("escape", "question_mark"),
            ("escape", "f6"),
            ("escape", "v", *"5,2,7,x"),
            ("escape", "c"),
            ("f2",),
            ("escape", "ctrl+p"),
        ):
            await pilot.press(*keys)
            await pilot.pause()
            odd = {character for character in text(app) if not character.isascii()}
            assert not odd, keys


async def test_q_ends_the_application(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(app, pilot)
        await pilot.press("q")
        await pilot.pause()
    assert not app.is_running
    assert app.return_code == 0


async def test_the_screen_is_there_before_the_first_answer_and_keys_work():
    app = GpuDoctorApp(ScriptedFeed())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "waiting for the first answer" in lines(app)[0]
        await pilot.press(
            "question_mark", "escape", "slash", "escape", "f6", "escape", "e", "escape", "w", "I"
        )
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_click_on_a_key_of_the_last_line_works_like_the_key(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, pilot)
        x = lines(app)[-1].index("Events")
        await pilot.click("KeyBar", offset=(x, 0))
        await until(pilot, lambda: "WHAT IT MEANS" in text(app))
        await pilot.click("KeyBar", offset=(lines(app)[-1].index("Back"), 0))
        await until(pilot, lambda: "COMMAND" in text(app))
        await pilot.click("KeyBar", offset=(98, 0))
        assert app.is_running


async def test_the_last_line_names_only_keys_that_fit_and_those_that_work_here(app):
    async with app.run_test(size=(44, 24)) as pilot:
        await shown(app, pilot)
        await until(pilot, lambda: "Details" in lines(app)[-1])
        assert lines(app)[-1].split()[-1] in {"Filter", "Sort", "Tree", "Act", "Window", "Quit"}
        await pilot.press("slash")
        await until(pilot, lambda: "Details" not in lines(app)[-1])


async def test_snapshots_that_come_while_screens_open_and_close_break_nothing(app, feed):
    async with app.run_test(size=(100, 30)) as pilot:
        for number in range(30):
            feed.publish(replace(feed.latest, processes=(process(5000 + number),)))
            await app.run_action("help" if number % 3 else "events")
            feed.publish(replace(feed.latest, processes=(process(6000 + number),)))
            await pilot.press("escape")
        await until(pilot, lambda: "6029" in text(app))


async def test_a_remark_that_is_too_long_is_cut_visibly_and_keeps_what_stands_after_it():
    silent = [
        device(i, state=DeviceState.STALE, stale_since=AT - 90, error="no answer") for i in range(5)
    ]
    app = GpuDoctorApp(ScriptedFeed(snapshot(*silent)))
    async with app.run_test(size=(60, 40)) as pilot:
        await shown(app, pilot)
        last = next(line for line in lines(app) if "more (e)" in line)
        assert "…" in last and last.rstrip().endswith("+2 more (e)")


async def test_a_scrollbar_hides_no_end_of_a_row():
    rows = tuple(process(1000 + i, command=("python", "x" * 200)) for i in range(3))
    app = GpuDoctorApp(ScriptedFeed(snapshot(processes=rows)))
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(app, pilot)
        assert sum("…" in line for line in lines(app)) == 3
        many = tuple(process(1000 + i, command=("python", "x" * 200)) for i in range(300))
        app._mailbox.put(snapshot(processes=many))
        await until(pilot, lambda: app.screen.query_one("#processes").show_vertical_scrollbar)
        await until(pilot, lambda: sum("…" in line for line in lines(app)) >= 8)
        cut = [line for line in lines(app) if "python xxx" in line]
        assert all("…" in line for line in cut)

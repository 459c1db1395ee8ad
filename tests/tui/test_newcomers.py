"""What the screen says to somebody who sees it for the first time."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.snapshot import DeviceState, GpuEvent
from gpudoctor.tui.screens.device import DeviceScreen
from gpudoctor.tui.screens.events import EventsScreen
from tests.builders import AT, device, process, snapshot
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened


async def events_of(app, pilot, shown):
    """The events screen, with this snapshot on it."""
    await opened(app, pilot)
    app._mailbox.put(shown)
    await pilot.press("e")
    await until(pilot, lambda: isinstance(app.screen, EventsScreen) and "NOW" in text(app))
    await pilot.pause()


async def test_enter_on_an_event_opens_the_gpu_that_it_happened_on(app, feed):
    second = feed.latest.devices[1].uuid
    told = (GpuEvent(AT, second, "xid", 13),)
    async with app.run_test(size=(120, 30)) as pilot:
        await events_of(app, pilot, replace(feed.latest, events=told))
        assert "Enter Details" in lines(app)[-1]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DeviceScreen) and second in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EventsScreen))


async def test_enter_on_a_remark_opens_the_gpu_that_it_is_about(app):
    lost = device(1, state=DeviceState.LOST, stale_since=AT - 60)
    async with app.run_test(size=(120, 30)) as pilot:
        await events_of(app, pilot, snapshot(device(0), lost))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, DeviceScreen) and lost.uuid in text(app))


async def test_an_event_without_a_gpu_says_so_when_it_is_opened(app, feed):
    told = (GpuEvent(AT, "", "xid", 13),)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await events_of(app, pilot, replace(feed.latest, events=told))
        await pilot.press("enter")
        await until(pilot, lambda: "No GPU is named there" in text(app))
        assert isinstance(app.screen, EventsScreen)


async def test_a_table_without_rows_offers_no_details(app, feed):
    async with app.run_test(size=(120, 30)) as pilot:
        await events_of(app, pilot, feed.latest)
        assert "Details" not in lines(app)[-1]
        told = (GpuEvent(AT, feed.latest.devices[0].uuid, "xid", 13),)
        feed.publish(replace(feed.latest, events=told))
        await until(pilot, lambda: "Enter Details" in lines(app)[-1])


async def test_while_a_filter_is_typed_the_last_line_says_how_to_leave_it(app):
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot)
        assert "q Quit" in lines(app)[-1]
        await pilot.press("slash", "b")
        await until(pilot, lambda: lines(app)[-1].startswith(" Enter keep Esc drop "))
        assert not {"Quit", "Help", "Events", "Act"} & set(lines(app)[-1].split())
        await pilot.press("enter")
        await until(pilot, lambda: "q Quit" in lines(app)[-1] and "drop" not in lines(app)[-1])


async def test_a_filter_that_matches_nothing_is_told_from_gpus_that_nobody_uses(app, feed):
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot)
        await pilot.press("slash", *"zz")
        await until(pilot, lambda: "No process matches the filter." in text(app))
        assert "No process uses a GPU" not in text(app)
        feed.publish(replace(feed.latest, processes=()))
        await until(pilot, lambda: "No process uses a GPU." in text(app))
        feed.publish(replace(feed.latest, processes=(process(100),)))
        await until(pilot, lambda: "No process matches the filter." in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "No process" not in text(app))

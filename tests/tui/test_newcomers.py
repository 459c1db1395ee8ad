"""What the screen says to somebody who sees it for the first time."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.model.orphan import Verdict
from gpudoctor.model.snapshot import DeviceState, GpuEvent
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.screens.device import DeviceScreen
from gpudoctor.tui.screens.events import EventsScreen
from tests.builders import AT, device, process, snapshot
from tests.present.test_verdicts import judged as verdict
from tests.tui.screen import lines, text, until
from tests.tui.test_details import Verdicts, opened


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
        await until(pilot, lambda: lines(app)[-1].startswith(" Enter Keep Esc Drop "))
        assert not {"q", "?", "e", "k"} & set(lines(app)[-1].split())
        await pilot.press("enter")
        await until(pilot, lambda: "q Quit" in lines(app)[-1] and "Drop" not in lines(app)[-1])


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


def told_of(app):
    """What the column of verdicts says, by pid."""
    shown = lines(app)
    top = next(i for i, line in enumerate(shown) if "VERDICT" in line)
    at = shown[top].index("VERDICT")
    rows = [line for line in shown[top + 1 :] if line.split()[:1] and line.split()[0].isdigit()]
    return {int(line.split()[0]): line[at : at + 7].strip() for line in rows}


async def test_a_process_is_being_judged_until_it_was_watched_for_long_enough(feed):
    watch = Verdicts()
    app = GpuDoctorApp(feed, watch=watch)
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, pilot)
        assert told_of(app) == dict.fromkeys((100, 200, 300), "judging")
        watch.publish(verdict(pid=100), verdict(Verdict.IN_USE, pid=200))
        await until(pilot, lambda: told_of(app)[100] == "orphan")
        assert told_of(app)[200] == "judging"
        watch.settled = frozenset(row.key for row in feed.latest.processes if row.pid != 300)
        watch.publish(verdict(pid=100), verdict(Verdict.IN_USE, pid=200))
        await until(pilot, lambda: told_of(app) == {100: "orphan", 200: "", 300: "judging"})


async def test_the_explanation_says_that_a_process_is_still_being_watched(feed):
    first = next(row for row in feed.latest.processes if row.pid == 200)
    watch = Verdicts(verdict(Verdict.IN_USE, started=first.started, pid=200))
    app = GpuDoctorApp(feed, watch=watch)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "home", "x")
        await until(pilot, lambda: "judging: it is watched" in text(app))
        await pilot.press("escape")
        watch.settled = frozenset([first.key])
        watch.publish(*watch.latest)
        await pilot.pause()
        await pilot.press("x")
        await until(
            pilot, lambda: "in use: the signs that it is left over do not outweigh" in text(app)
        )
        assert "judging: it is watched" not in text(app)


async def test_without_a_watch_nothing_is_being_judged(app):
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(app, pilot)
        assert set(told_of(app).values()) == {""}


async def test_keys_typed_after_the_one_that_quits_do_nothing(app):
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot)
        app.exit()
        for action in ("app.events", "app.profiles", "screen.act"):
            await app.run_action(action)
        assert len(app.screen_stack) == 1
    assert app.return_code == 0

"""The screen of many machines, on a server that speaks Prometheus's query API."""

from __future__ import annotations

import pytest

from gpudoctor.cli.fleet import source_of
from gpudoctor.history.prometheus import Prometheus
from gpudoctor.present.glyphs import ASCII
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.fleet import FleetApp
from gpudoctor.tui.screens.fleet import FleetScreen, MachineScreen
from tests.tui.fleet_server import FleetServer
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened


@pytest.fixture
def server():
    with FleetServer() as running:
        yield running
        running.free.set()
        running.shutdown()


@pytest.fixture
def fleet(server):
    return FleetApp(source_of(Prometheus(server.url)))


def names(app):
    """The machines of the table, top to bottom, without their ports."""
    return [
        line.split(":")[0].strip()
        for line in lines(app)
        if line.split(":")[0].strip() in ("busy", "idle", "free", "sick", "gone")
    ]


async def filled(app, pilot):
    await until(pilot, lambda: names(app))
    await pilot.pause()


async def test_the_sick_machines_stand_first_then_the_idle_ones(fleet):
    async with fleet.run_test(size=(120, 20)) as pilot:
        await filled(fleet, pilot)
        assert names(fleet) == ["gone", "sick", "idle", "busy", "free"]
        shown = text(fleet)
        assert "4 of 5 machines" not in shown
        assert "3 of 5 machines answer; 8 GPUs, 3 free; 2400 W" in shown
        assert "1 GPU held but idle" in shown
        gone = next(line for line in lines(fleet) if "gone:" in line)
        assert "does not answer" in gone
        assert " 0" not in gone


async def test_a_click_on_a_title_sorts_by_it_and_a_second_one_turns_it_round(fleet):
    async with fleet.run_test(size=(120, 20)) as pilot:
        await filled(fleet, pilot)
        title = next(line for line in lines(fleet) if "MACHINE" in line)
        await pilot.click("#machines", offset=(title.index("UTIL") + 1, 0))
        await until(pilot, lambda: names(fleet) == ["busy", "sick", "free", "idle", "gone"])
        await pilot.click("#machines", offset=(title.index("UTIL") + 1, 0))
        await until(pilot, lambda: names(fleet) == ["free", "idle", "sick", "busy", "gone"])
        await pilot.press("f6", "home", "down", "enter")
        await until(pilot, lambda: names(fleet) == ["busy", "free", "gone", "idle", "sick"])


async def test_the_filter_knows_names_and_troubles(fleet):
    async with fleet.run_test(size=(120, 20)) as pilot:
        await filled(fleet, pilot)
        await pilot.press("slash", *"idle")
        await until(pilot, lambda: names(fleet) == ["idle"])
        await pilot.press("enter", "escape")
        await until(pilot, lambda: len(names(fleet)) == 5)
        await pilot.press("slash", *"nobody")
        await until(pilot, lambda: "No machine matches the filter." in text(fleet))


async def test_enter_opens_the_gpus_of_a_machine_and_escape_goes_back(fleet):
    async with fleet.run_test(size=(120, 20)) as pilot:
        await filled(fleet, pilot)
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: "held but idle" in text(fleet) and "H100" in text(fleet))
        assert isinstance(fleet.screen, MachineScreen)
        rows = [line for line in lines(fleet) if "H100" in line]
        assert [row.split()[0] for row in rows] == ["0", "1"]
        assert "40.0/80.0" in rows[0] and "ana" in rows[0]
        assert "Details" not in lines(fleet)[-1]
        assert "free" in rows[1] and "ana" not in rows[1]
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(fleet.screen, FleetScreen))
        await pilot.press("escape")
        assert isinstance(fleet.screen, FleetScreen)


async def test_gpus_of_a_silent_machine_are_marked(fleet):
    async with fleet.run_test(size=(120, 20)) as pilot:
        await filled(fleet, pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: text(fleet).count("does not answer") == 2)
        assert "2 GPUs; 600 W; 2 to be looked at" in text(fleet)


async def test_what_the_server_refuses_is_told_in_place_and_the_last_answer_stays(fleet, server):
    async with fleet.run_test(size=(120, 20)) as pilot:
        await filled(fleet, pilot)
        server.status = 401
        await pilot.press("r")
        await until(pilot, lambda: "HTTP 401 Unauthorized" in text(fleet))
        assert len(names(fleet)) == 5
        assert "This is what it told" in text(fleet)
        server.status = 200
        await pilot.press("r")
        await until(pilot, lambda: "HTTP 401" not in text(fleet))


async def test_a_refusal_at_first_says_how_to_give_a_token(fleet, server):
    server.status = 403
    async with fleet.run_test(size=(120, 20)) as pilot:
        await until(pilot, lambda: "GPUDOCTOR_PROMETHEUS_TOKEN" in text(fleet))
        assert "HTTP 403" in text(fleet)


async def test_nobody_there_is_told_in_place():
    app = FleetApp(source_of(Prometheus("http://127.0.0.1:1")))
    async with app.run_test(size=(120, 20)) as pilot:
        await until(pilot, lambda: "refused" in text(app))
        await pilot.press("enter", "f6", "escape", "slash", "x", "escape", "q")
    assert app.return_code == 0


async def test_a_slow_server_keeps_no_key_waiting(fleet, server):
    server.delay_s = 60
    async with fleet.run_test(size=(120, 20)) as pilot:
        await until(pilot, lambda: "asking" in text(fleet))
        await pilot.press("r", "r")
        await pilot.press("question_mark")
        await until(pilot, lambda: "Ask again" in text(fleet))
        await pilot.press("escape")
        assert server.asked <= 6
        server.free.set()
        await until(pilot, lambda: len(names(fleet)) == 5)


async def test_the_overview_opens_it_where_a_prometheus_was_named(feed, server):
    app = GpuDoctorApp(feed, fleet=lambda: source_of(Prometheus(server.url)))
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot)
        assert "Fleet" in lines(app)[-1]
        await pilot.press("F")
        await filled(app, pilot)
        feed.publish(feed.latest)
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, MachineScreen))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "COMMAND" in text(app))


async def test_without_one_it_is_not_offered(app):
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot)
        assert "Fleet" not in lines(app)[-1]
        await pilot.press("F")
        assert "COMMAND" in text(app)


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (300, 100)])
async def test_it_is_drawn_in_every_size_and_in_ascii(server, size):
    app = FleetApp(source_of(Prometheus(server.url)), set_=ASCII)
    async with app.run_test(size=size) as pilot:
        await filled(app, pilot)
        assert text(app).isascii()
        assert names(app)[0] == "gone"

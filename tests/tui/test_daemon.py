"""A screen, and a daemon that comes and goes: the programs themselves, on the simulated driver."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack

import pytest

from gpudoctor.cli.feeds import followed
from gpudoctor.cli.sources import open_machine
from gpudoctor.config import load
from gpudoctor.tui.app import GpuDoctorApp
from tests.cli.serving import serving
from tests.tui.screen import lines, seen, until

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUDOCTOR_SOCKET", str(tmp_path / "gpudoctor.sock"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("gpudoctor.daemon.attached._BACK_S", 0.1)


@contextlib.contextmanager
def screen():
    """The application as `gpudoctor` puts it together where no daemon runs yet."""
    with ExitStack() as stack:
        settings = load(None)
        assert followed(stack, settings) is None
        source = followed(stack, settings, stack.enter_context(open_machine()))
        source.feed.start()
        stack.callback(source.feed.stop)
        yield GpuDoctorApp(
            source.feed, past=source.past, attached=source.attached, inspected=source.inspected
        )


async def test_a_daemon_that_starts_later_is_used_until_it_is_gone_and_again_when_it_is_back(
    nvml_sim,
):
    with screen() as app:
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await seen(pilot, "H100")
            assert "via daemon" not in lines(app)[0]
            for _ in range(2):
                with serving("--interval", "0.3", root=(), env=nvml_sim.env):
                    await seen(pilot, "via daemon")
                    await seen(pilot, "what is shown comes from it")
                    before = app.newest()
                    await _moved_on(pilot, app, before)
                await seen(pilot, "The daemon is gone")
                await until(pilot, lambda: "via daemon" not in lines(app)[0])
                await _moved_on(pilot, app, app.newest())


async def test_what_the_daemon_found_is_named_until_a_check_from_here_finds_it_too(
    nvml_sim, monkeypatch
):
    monkeypatch.setattr("gpudoctor.tui.app._FINDINGS_S", 0.2)
    nvml_sim.machine.gpus[1].ecc_uncorrected = 3
    nvml_sim.save()
    with (
        screen() as app,
        serving("--interval", "0.3", "--inspect", "0.5", root=(), env=nvml_sim.env),
    ):
        async with app.run_test(size=(160, 40)) as pilot:
            await seen(pilot, "by the daemon)")
            assert "ecc.uncorrected" in [one.id for one in app.told.findings]
            await pilot.press("E")
            await seen(pilot, "checks ran")
            same = [one.id for one in app.told.findings if one.id.startswith("ecc.")]
            assert same == ["ecc.uncorrected"]
            page = app.screen._examined.report.findings
            assert [one.summary for one in page if one.id in same] == [
                "3 uncorrected ECC errors since the driver was loaded"
            ]


async def _moved_on(pilot, app, before):
    for _ in range(400):
        now = app.newest()
        if now.taken_at > before.taken_at and now.devices[0].state == "ok":
            return
        await pilot.pause(0.05)
    raise AssertionError("no newer look came")

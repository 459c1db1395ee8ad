from __future__ import annotations

import base64
import datetime as dt
import threading
from dataclasses import replace

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.check import Inspected
from gpudoctor.model.finding import Finding, Fix, Severity
from gpudoctor.tui.app import GpuDoctorApp
from gpudoctor.tui.examine import conclude, examine, save
from gpudoctor.tui.screens.environment import EnvironmentScreen
from tests.builders import snapshot
from tests.checks import world
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened


def sick():
    """A torch without CUDA and a GPU on half its lanes."""
    narrow = world.gpu(1, pcie=world.PcieReading(5, 8, 1e9, 1e9, 3))
    build = world.torch(version="2.13.0+cpu", kind="cpu", cuda_version=None)
    return world.healthy(
        snapshot=snapshot(world.gpu(0), narrow),
        probe=world.probe(torch=build, cuda=world.TorchCuda(available=False, device_count=0)),
    )


def look(facts):
    def examined(snapshot_, say):
        say("looking")
        return conclude(facts, facts.snapshot)

    return examined


@pytest.fixture
def app():
    return GpuDoctorApp(ScriptedFeed(sick().snapshot))


async def shown(app, pilot, screen):
    await opened(app, pilot)
    app.push_screen(screen)
    await until(pilot, lambda: "checks ran" in text(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_findings_stand_above_the_cause_first_and_the_facts_beside_or_below(app, size):
    async with app.run_test(size=size) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(sick())))
        await until(pilot, lambda: "  torch.cuda.is_av" in text(app))
        page = lines(app)
        first = next(line for line in page if line.split()[:1] == ["error"])
        assert "torch 2.13.0+cpu was built" in first
        assert "  torch.cuda.is_av" in page[page.index(first) + 1]
        assert "[torch.cpu-build]" in text(app)
        assert "PyTorch version" in text(app)


async def test_the_finding_under_the_cursor_is_shown_in_full_with_its_fix(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(sick())))
        assert "pip install" in text(app) and "fix:" in text(app)
        await pilot.press("end")
        await until(pilot, lambda: "[torch.cpu-build]" not in text(app))


async def test_the_worst_finding_is_then_named_on_the_first_screen(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(sick())))
        await pilot.press("escape")
        await until(pilot, lambda: "check (E): this Python: torch" in text(app))
        assert "(+2 more)" in next(line for line in lines(app) if "check (E)" in line)


async def test_the_fix_is_copied_through_the_terminal(app, monkeypatch):
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(sick())))
        sent = []
        monkeypatch.setattr(app._driver, "write", sent.append)
        await pilot.press("c")
        await until(pilot, lambda: "copied: " in text(app))
        (sequence,) = [one for one in sent if one.startswith("\x1b]52;c;")]
        copied = base64.b64decode(sequence[7:].rstrip("\a")).decode()
        assert copied.splitlines()[0].startswith("/venv/bin/python -m pip uninstall")
        assert copied.splitlines()[1].startswith("/venv/bin/python -m pip install")


async def test_the_report_is_saved_to_a_file_that_is_named_and_that_names_nobody(
    app, tmp_path, monkeypatch
):
    monkeypatch.setenv("USER", "anaconda-fan")
    build = world.torch(kind="cpu", path="/home/anaconda-fan/venv/torch/__init__.py")
    facts = replace(sick(), probe=world.probe(torch=build))
    async with app.run_test(size=(160, 40)) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(facts), tmp_path))
        await pilot.press("S")
        await until(pilot, lambda: "saved to" in text(app))
        (file,) = tmp_path.iterdir()
        assert file.name in text(app).replace("\n", "")
        saved = file.read_text()
        assert "## gpudoctor check" in saved and "### Environment by gpudoctor" in saved
        assert "torch.cpu-build" in saved and "anaconda-fan" not in saved


async def test_a_report_that_cannot_be_written_is_told(app, tmp_path):
    async with app.run_test(size=(160, 40)) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(sick()), tmp_path / "missing"))
        await pilot.press("S")
        await until(pilot, lambda: "cannot be written: No such file" in text(app))


def test_a_second_report_of_the_same_second_does_not_overwrite_the_first(tmp_path):
    found = conclude(sick(), sick().snapshot)
    kept = save(found, tmp_path, 0.0)
    with pytest.raises(GpuDoctorError):
        save(found, tmp_path, 0.0)
    assert list(tmp_path.iterdir()) == [kept]


async def test_keys_work_while_the_machine_is_looked_at_and_r_looks_again(app):
    go_on, asked = threading.Event(), []

    def slow(snapshot_, say):
        asked.append(1)
        say("asking python")
        assert go_on.wait(20)
        return conclude(sick(), snapshot_)

    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(EnvironmentScreen(slow))
        await until(pilot, lambda: "asking python …" in text(app))
        await pilot.press("r", "question_mark")
        await until(pilot, lambda: "Copy fix" in text(app))
        await pilot.press("escape")
        assert asked == [1]
        go_on.set()
        await until(pilot, lambda: "checks ran" in text(app))
        await pilot.press("r")
        await until(pilot, lambda: len(asked) == 2)
        await until(pilot, lambda: "checks ran" in text(app))


async def test_a_look_that_fails_is_told_and_one_that_comes_too_late_hurts_nobody(app):
    go_on = threading.Event()

    def broken(snapshot_, say):
        go_on.wait(20)
        raise ValueError("a strange file")

    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        app.push_screen(EnvironmentScreen(broken))
        await until(pilot, lambda: "beginning …" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "COMMAND" in text(app))
        go_on.set()
        await pilot.pause(0.1)
        app.push_screen(EnvironmentScreen(broken))
        await until(pilot, lambda: "ValueError: a strange file" in text(app))


async def test_a_healthy_machine_is_told_to_have_nothing(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, pilot, EnvironmentScreen(look(world.healthy())))
        assert "Nothing is wrong, as far as the checks can see." in text(app)
        await pilot.press("c")
        await until(pilot, lambda: "there is no fix to copy" in text(app))


async def test_what_only_the_daemon_found_is_shown_with_the_rest_and_says_so():
    facts = sick()
    known = conclude(facts, facts.snapshot).report.findings
    hidden = Finding("xid.reported", Severity.ERROR, "GPU 0", "Xid 79", fix=Fix("Reboot."))
    told = Inspected("gpudoctor.check/1", dt.datetime.now(dt.UTC), (*known, hidden))
    app = GpuDoctorApp(ScriptedFeed(facts.snapshot), attached=lambda: True, inspected=lambda: told)
    async with app.run_test(size=(160, 60)) as pilot:
        await until(pilot, lambda: "(by the daemon)" in text(app))
        await shown(app, pilot, EnvironmentScreen(look(facts)))
        assert text(app).count("(by the daemon)") == 1
        assert "Xid 79 (by the daemon)" in text(app)
        await pilot.press("end")
        shown_too = {one.id for one in app.screen._examined.report.findings}
        assert shown_too == {one.id for one in (*known, hidden)}
        for _ in known:
            if "and not by a check from here" in text(app):
                break
            await pilot.press("up")
            await pilot.pause()
        assert "and not by a check from here" in text(app)
        await pilot.press("escape")
        words = next(line for line in lines(app) if "check (E)" in line)
        assert f"(+{len(known)} more)" in words


@pytest.mark.integration
async def test_e_examines_this_very_machine_and_a_recording_is_not_explained_by_it(nvml_sim, app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "E")
        for _ in range(400):
            if "checks ran" in text(app):
                break
            await pilot.pause(0.1)
        assert "Python" in text(app) and "checks ran" in text(app)
    recorded = replace(sick().snapshot, source="replay")
    found = examine(recorded, lambda words: None)
    assert found.environment is None
    assert not [one for one in found.report.findings if one.id.startswith("torch.")]

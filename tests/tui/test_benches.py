"""Benchmarks from the screen: the command that is run, how it is ended, and what is kept."""

from __future__ import annotations

import msgspec
import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.tui.benches import benches, keep, kept_benches, load
from gpudoctor.tui.screens.benches import BenchResultScreen, BenchScreen
from tests.tui.scenes import BENCHED
from tests.tui.screen import lines, text, until
from tests.tui.test_acts import finished
from tests.tui.test_details import opened
from tests.tui.test_profiles import home, typed

__all__ = ["home"]

STEPS = """
import time
print('begun', flush=True)
import torch
weight = torch.nn.Parameter(torch.zeros(8))
optimizer = torch.optim.SGD([weight], lr=0.1)
for _ in range(40):
    optimizer.zero_grad()
    weight.sum().backward()
    optimizer.step()
    time.sleep(0.002)
"""


def planted(name="train.py"):
    folder = benches() / f"20260101-000000-{name}"
    folder.mkdir(parents=True)
    printed = envelope("gpudoctor.bench/1", to_builtins(BENCHED))
    keep(folder, 1_700_000_000.0, (name, "--workers", "8"), printed)
    return folder


async def test_earlier_results_are_listed_and_shown_with_the_setting_under_the_cursor(app):
    planted()
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(app, pilot, "B")
        await finished(pilot, "num-workers=8 is 1.82 times as fast.")
        assert "train.py --workers 8" in text(app)
        await pilot.press(*["tab"] * 7, "enter")
        await finished(pilot, "1.82× [1.76–1.88]")
        assert "not applicable" in text(app)
        await pilot.press("down")
        await finished(pilot, "+loader = DataLoader(data, batch_size=64, num_workers=8)")
        await pilot.press("end")
        await finished(pilot, "not applicable: it has no convolution")
        await pilot.press("escape")
        await finished(pilot, "modes or settings")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (
            {"networks": "conv1d, unet", "rounds": "3", "budget": "1m"},
            ["bench", "cudnn", "--model", "conv1d,unet", "--rounds", "3", "--budget", "1m"],
        ),
        (
            {
                "script": "a.py",
                "arguments": "--lr '1 2'",
                "settings": "amp, tf32",
                "networks": "unet",
            },
            ["bench", "--try", "amp,tf32", "a.py", "--", "--lr", "1 2"],
        ),
    ],
    ids=["networks", "script"],
)
async def test_the_fields_become_the_command(app, home, fields, wanted, monkeypatch):
    (home / "a.py").write_text("")
    begun = []
    monkeypatch.setattr(app.errands, "begin", lambda errand: begun.append(errand) or errand)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "B")
        await finished(pilot, "modes or settings")
        for name, value in fields.items():
            app.screen.query_one(f"#{name}").value = value
        await pilot.press("f5")
        await until(pilot, lambda: begun)
        command = list(begun[0].arguments)
        at = command.index("--json")
        assert command[at + 1] == "--html" and command[at + 2].endswith("report.html")
        del command[at : at + 3]
        assert command == wanted


async def test_what_cannot_be_run_is_said_and_nothing_is_begun(app, home):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "B")
        await finished(pilot, "modes or settings")
        await pilot.press("tab", *typed("--x"), "enter")
        await finished(pilot, "arguments are a script's")
        assert not app.errands.under_way and not benches().exists()


async def test_a_command_that_refuses_says_why_and_leaves_no_empty_folder(app, home):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "B")
        await finished(pilot, "modes or settings")
        app.screen.query_one("#budget").value = "soon"
        await pilot.press("enter")
        await until(pilot, lambda: "budget" in lines(app)[1])
        assert list(benches().iterdir()) == []


async def test_a_bench_is_ended_by_esc_and_nothing_of_it_is_left(app, home):
    (home / "a.py").write_text("import time\ntime.sleep(60)\n")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "B")
        await finished(pilot, "modes or settings")
        await pilot.press(*typed("a.py"), "enter")
        await finished(pilot, "a.py: ")
        [errand] = app.errands.under_way
        await pilot.press("escape")
        await finished(pilot, "ended before there was anything to keep")
        assert errand.over
        await pilot.press("escape")
        await finished(pilot, "modes or settings")
        assert list(benches().iterdir()) == []


@pytest.mark.integration
async def test_a_real_script_is_measured_and_its_result_is_kept(app, home):
    (home / "a.py").write_text(STEPS)
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(app, pilot, "B")
        await finished(pilot, "modes or settings")
        for name, value in {"settings": "deterministic", "rounds": "1", "budget": "4s"}.items():
            app.screen.query_one(f"#{name}").value = value
        await pilot.press(*typed("a.py"), "enter")
        for _ in range(1200):
            if isinstance(app.screen, BenchResultScreen):
                break
            await pilot.pause(0.1)
        await finished(pilot, "steps in 1 processes")
        [kept] = kept_benches(benches())
        assert kept.program == ("a.py",) and (kept.folder / "report.html").exists()
        assert load(kept.folder).results


def test_what_is_no_report_is_not_kept_and_a_damaged_one_is_passed_over(tmp_path):
    with pytest.raises(GpuDoctorError, match="cannot be read"):
        keep(tmp_path, 0.0, ("x",), b"{")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "bench.json").write_text("{")
    assert kept_benches(tmp_path) == ()
    with pytest.raises(GpuDoctorError):
        load(tmp_path)


def test_what_is_kept_is_what_was_printed():
    folder = planted()
    assert msgspec.json.encode(load(folder)) == msgspec.json.encode(BENCHED)
    assert BenchScreen().look()[0].verdict == BENCHED.verdicts[0]

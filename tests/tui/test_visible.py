from __future__ import annotations

import base64
import os
import re
import time
from dataclasses import replace

import pytest

from gpudoctor.tui.app import GpuDoctorApp
from tests.builders import device, process, snapshot
from tests.reclaim.children import nursery
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until
from tests.tui.test_details import opened


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def four():
    return ScriptedFeed(snapshot(*(device(index) for index in range(4))))


def ordinals(app):
    """The GPU behind each ordinal, from the screen."""
    return re.findall(r"cuda:\d+ +GPU (\d+)", text(app))


async def begun(app, pilot, *keys):
    await until(pilot, lambda: app.snapshot is not None and "PID" in text(app))
    await pilot.press("v")
    await until(pilot, lambda: "nvidia-smi" in text(app))
    await pilot.press(*keys)


async def test_without_the_variable_every_gpu_has_its_ordinal(four):
    app = GpuDoctorApp(four)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        await until(pilot, lambda: ordinals(app) == ["0", "1", "2", "3"])


async def test_the_map_follows_every_key_and_each_token_has_a_reason(four):
    app = GpuDoctorApp(four)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot, "3")
        await until(pilot, lambda: ordinals(app) == ["3"])
        await pilot.press(",", "1")
        await until(pilot, lambda: ordinals(app) == ["3", "1"])
        assert "index 3 in CUDA's order" in text(app)
        await pilot.press(",", "3")
        await until(pilot, lambda: "a duplicate hides every GPU" in text(app))
        assert ordinals(app) == []
        assert "No GPU is visible to CUDA." in text(app)
        await pilot.press("f3")
        await until(pilot, lambda: ordinals(app) == ["0", "1", "2", "3"])
        await pilot.press('"', '"')
        await until(pilot, lambda: "set and empty: no GPU" in text(app))


async def test_the_order_can_be_changed_too():
    slow = device(0)
    slow = replace(
        slow, facts=replace(slow.facts, name="NVIDIA T4", cuda_cores=2560, sm_clock_max_hertz=1e9)
    )
    fast = device(1)
    fast = replace(fast, facts=replace(fast.facts, cuda_cores=16896, sm_clock_max_hertz=2e9))
    app = GpuDoctorApp(ScriptedFeed(snapshot(slow, fast)))
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        await until(pilot, lambda: ordinals(app) == ["1", "0"])
        assert "unverified" in text(app)
        await pilot.press("tab", *"PCI_BUS_ID")
        await until(pilot, lambda: ordinals(app) == ["0", "1"])


async def test_it_begins_with_the_variables_of_this_process_but_not_on_a_recording(
    four, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    app = GpuDoctorApp(four)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        await until(pilot, lambda: ordinals(app) == ["2"])
    app = GpuDoctorApp(ScriptedFeed(replace(four.latest, source="replay")))
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot)
        await until(pilot, lambda: ordinals(app) == ["0", "1", "2", "3"])


async def test_the_map_of_a_process_begins_with_its_own_variables(tmp_path):
    with nursery(tmp_path) as children:
        pid = children.python(
            "import time; print(1); time.sleep(60)",
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "1,0"},
        )
        row = process(pid, started=time.time())
        app = GpuDoctorApp(ScriptedFeed(snapshot(device(0), device(1), processes=(row,))))
        async with app.run_test(size=(120, 36)) as pilot:
            await opened(app, pilot, "enter")
            await until(pilot, lambda: "host memory" in text(app))
            await pilot.press("v")
            await until(pilot, lambda: f"variables of process {pid}" in text(app))
            await until(pilot, lambda: ordinals(app) == ["1", "0"])


async def test_a_process_whose_variables_are_out_of_reach_is_told():
    gone = process(4_194_303)
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(0), processes=(gone,))))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await opened(app, pilot, "enter")
        await until(pilot, lambda: "host memory" in text(app))
        await pilot.press("v")
        await until(pilot, lambda: "cannot be read" in text(app))


async def test_what_was_typed_is_copied_as_a_shell_command(four, monkeypatch):
    app = GpuDoctorApp(four)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot, "3", ",", "1")
        sent = []
        monkeypatch.setattr(app._driver, "write", sent.append)
        await pilot.press("f2")
        await until(pilot, lambda: any("]52;c;" in one for one in sent))
        (sequence,) = [one for one in sent if "]52;c;" in one]
        copied = base64.b64decode(sequence[7:].rstrip("\a")).decode()
        assert copied == "unset CUDA_DEVICE_ORDER; export CUDA_VISIBLE_DEVICES=3,1"


async def test_letters_are_typed_and_no_key_is_promised_that_would_only_be_typed(four):
    app = GpuDoctorApp(four)
    async with app.run_test(size=(120, 36)) as pilot:
        await begun(app, pilot, "q", "e", "v")
        await until(pilot, lambda: "'qev'" in text(app))
        last = lines(app)[-1]
        assert "q Quit" not in last and "F10 Quit" in last and "Unset both" in last
        await pilot.press("escape")
        await until(pilot, lambda: "COMMAND" in text(app))


async def test_a_small_terminal_scrolls_the_answer_while_one_types(four):
    app = GpuDoctorApp(four)
    async with app.run_test(size=(80, 12)) as pilot:
        await begun(app, pilot, *"0,1,2,3")
        await until(pilot, lambda: len(ordinals(app)) == 4)
        assert "The variable is read once" not in text(app)
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: "The variable is read once" in text(app))

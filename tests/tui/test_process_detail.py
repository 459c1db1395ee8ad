"""What the details of a process tell beyond its row: its files, the recordings, its stacks."""

from __future__ import annotations

import os
import time

import pytest

from gpudoctor.history.values import History, ProcessSpan
from gpudoctor.host.procs import LocalHost
from gpudoctor.tui.app import GpuDoctorApp
from tests.builders import GIB, device, process, snapshot, uuid_of
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import text, until
from tests.tui.test_acts import finished
from tests.tui.test_details import opened

SLEEP = "import time; print(1); time.sleep(60)"


def looking_at(pid, **more):
    """An application on a machine where this process holds GPU 0, with its row as the host tells it."""
    facts = LocalHost().processes([pid])[pid]
    row = process(pid, started=facts.key.started, command=facts.command)
    made = snapshot(device(0), device(1), processes=(row,), taken_at=time.time())
    return GpuDoctorApp(ScriptedFeed(made), **more), row


class Recorded:
    """Knows one process on one GPU."""

    def __init__(self, pid, started):
        self.span = ProcessSpan(
            pid, started, "ana", "python", ("python",), uuid_of(0), started, started + 9, 30 * GIB, GIB, 0.5
        )  # fmt: skip

    def read(self, since, until):
        return History(since, until, (), (self.span,), ())


async def test_variables_folder_parents_and_the_cuda_map_are_read(children, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv("VLLM_API_KEY", "hunter2")
    app, _ = looking_at(children.python(SLEEP))
    async with app.run_test(size=(120, 80)) as pilot:
        await opened(app, pilot, "enter")
        await until(pilot, lambda: "Where it comes from" in text(app))
        page = text(app)
        assert "cuda:0  GPU 1" in page
        assert "CUDA_VISIBLE_DEVICES  1" in page
        assert "VLLM_API_KEY  (set, not shown)" in page and "hunter2" not in page
        assert f"below  {os.getpid()} " in page
        assert "/python" in page


async def test_what_the_daemon_recorded_of_it_is_told(children):
    pid = children.python(SLEEP)
    started = LocalHost().processes([pid])[pid].key.started
    app, _ = looking_at(pid, past=Recorded(pid, started))
    async with app.run_test(size=(120, 80)) as pilot:
        await opened(app, pilot, "enter")
        await until(pilot, lambda: "at most 30.0 GiB, SM 50% on average" in text(app))


async def test_of_a_process_whose_pid_is_anothers_by_now_nothing_is_read(children):
    pid = children.python(SLEEP)
    row = process(pid, started=time.time() - 5000)
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(), processes=(row,))))
    async with app.run_test(size=(120, 60)) as pilot:
        await opened(app, pilot, "enter")
        await until(pilot, lambda: "has ended" in text(app))
        assert "Variables" not in text(app)


async def test_of_a_recorded_machine_nothing_is_read_from_this_one(children):
    row = process(children.python(SLEEP))
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(), processes=(row,), source="replay")))
    async with app.run_test(size=(120, 60)) as pilot:
        await opened(app, pilot, "enter")
        await pilot.pause(0.2)
        assert "Where it comes from" not in text(app)


async def test_its_memory_is_shown_from_before_its_details_were_opened():
    at = float(int(time.time()))
    rows = [(0, 40 * GIB), (240, 10 * GIB), (300, 10 * GIB)]
    looks = [
        snapshot(device(0), processes=(process(7, used=used),), taken_at=at + second)
        for second, used in rows
    ]
    feed = ScriptedFeed(looks[0])
    app = GpuDoctorApp(feed)
    async with app.run_test(size=(120, 60)) as pilot:
        for look in looks[1:]:
            await until(pilot, lambda seen=feed.latest: app.snapshot is seen)
            feed.publish(look)
        await until(pilot, lambda: app.snapshot is looks[-1])
        await pilot.press("enter")
        await until(pilot, lambda: "GPU memory of the last 10 min" in text(app))
        assert "full height is 40.0 GiB" in text(app)


@pytest.mark.integration
async def test_stacks_are_read_and_read_again_on_request(children):
    code = "def loads():\n import time; print(1); time.sleep(60)\nloads()"
    app, _ = looking_at(children.python(code))
    async with app.run_test(size=(120, 60)) as pilot:
        await opened(app, pilot, "enter")
        await until(pilot, lambda: "host memory" in text(app))
        await pilot.press("s")
        await finished(pilot, "py-spy will read")
        await pilot.press("y")
        await finished(pilot, "look again")
        before = app.screen._lines
        await pilot.press("r")
        await finished(pilot, "loads (<string>:2)")
        await until(pilot, lambda: app.screen._lines is not before)
        await pilot.press("escape")
        await until(pilot, lambda: "look again" not in text(app))

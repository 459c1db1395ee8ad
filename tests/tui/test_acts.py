"""Acts on real processes, which the simulated driver lists with memory."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from gpudoctor.host.procs import LocalHost
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
from gpudoctor.tui.app import GpuDoctorApp
from tests.builders import GIB, device, process, snapshot
from tests.nvml_sim.presets import eight_h100
from tests.present.test_verdicts import judged
from tests.reclaim.children import state_of
from tests.tui.feeds import ScriptedFeed
from tests.tui.screen import lines, text, until
from tests.tui.test_details import Verdicts, opened

SLEEP = "import time; print('ready'); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " + SLEEP


@pytest.fixture
def live(nvml_sim, on_driver):
    """An application on the simulated driver that lists these pids, one on each GPU."""

    def start(*pids):
        nvml_sim.use(eight_h100(pids=pids))
        for gpu in nvml_sim.machine.gpus:
            gpu.processes = [replace(one, sm=None, mem=None) for one in gpu.processes]
        nvml_sim.save()
        return on_driver()

    return start


async def asked(app, pilot, *keys):
    """Press the keys and wait for the question."""
    await opened(app, pilot)
    await until(pilot, lambda: "waiting" not in text(app))
    await pilot.press(*keys)
    await until(pilot, lambda: "do it" in text(app))


async def finished(pilot, words):
    for _ in range(400):
        if words in text(pilot.app):
            return
        await pilot.pause(0.05)
    raise AssertionError(f"never shown: {words}\n{text(pilot.app)}")


async def test_a_process_is_interrupted_after_a_yes_and_its_memory_is_told(
    live, children, nvml_sim
):
    pid = children.python(SLEEP)
    app = live(pid)
    async with app.run_test(size=(100, 40)) as pilot:
        await asked(app, pilot, "k", "i")
        page = text(app)
        assert str(pid) in page and "By SIGINT (given 5 s)." in page
        assert state_of(pid) == "S"
        await pilot.press("y")
        await until(pilot, lambda: "Working" in text(app))
        await until(pilot, lambda: state_of(pid) in ("Z", None))
        nvml_sim.machine.gpus[0].processes.clear()
        nvml_sim.save()
        await finished(pilot, "came back")
        assert f"{pid}  ended by SIGINT after" in text(app)
        assert "GPU 0: 6.0 GiB came back after" in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "came back" not in text(app))


@pytest.mark.parametrize("key", ["n", "escape", "q"])
async def test_a_no_leaves_the_process_alone(live, children, key):
    pid = children.python(SLEEP)
    app = live(pid)
    async with app.run_test(size=(100, 40)) as pilot:
        await asked(app, pilot, "f9", "k")
        await pilot.press(key)
        await until(pilot, lambda: "do it" not in text(app))
        await pilot.pause(0.2)
        assert state_of(pid) == "S"
        assert app.is_running


async def test_terminate_and_kill_send_the_signal_that_they_name(live, children):
    first, second = children.python(DEAF), children.python(DEAF)
    app = live(first, second)
    async with app.run_test(size=(100, 40)) as pilot:
        await asked(app, pilot, "N", "home", "k", "t")
        await pilot.press("enter")
        await until(pilot, lambda: children.child(first).poll() == -signal.SIGTERM)
        await pilot.press("escape", "end")
        await asked(app, pilot, "k", "k")
        await pilot.press("enter")
        await until(pilot, lambda: children.child(second).poll() == -signal.SIGKILL)


async def test_the_screen_lives_on_while_a_process_is_waited_for_and_tells_when_it_was_closed(
    live, children
):
    pid = children.python(DEAF)
    app = live(pid)
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await asked(app, pilot, "k", "i")
        begun = time.monotonic()
        await pilot.press("y")
        await until(pilot, lambda: "Working" in text(app))
        await pilot.press("escape", "question_mark")
        await until(pilot, lambda: "Sort by GPU memory" in text(app))
        assert time.monotonic() - begun < 4
        await pilot.press("escape")
        await finished(pilot, "is still there after the")
        assert state_of(pid) == "S"


async def test_a_process_that_must_not_be_touched_is_refused_with_the_reason(live):
    app = live(os.getpid())
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "k", "k")
        await until(pilot, lambda: "is not to be ended" in text(app))
        assert "gpudoctor itself or started gpudoctor" in text(app)
        await pilot.press("y")
        await until(pilot, lambda: "is not to be ended" not in text(app))


@pytest.mark.parametrize("key", ["k", "c", "s"])
async def test_a_pid_that_another_process_has_by_now_is_left_alone(children, key):
    pid = children.python(SLEEP)
    old = process(pid, started=time.time() - 5000, command=("python", "old.py"))
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(), processes=(old,))))
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "k", key)
        await until(pilot, lambda: "has ended" in text(app))
        assert "that pid is now python" in text(app)
        await pilot.press("y")
        await pilot.pause(0.2)
        assert state_of(pid) == "S"


async def test_a_process_of_another_container_cannot_be_reached():
    hidden = process(1, started=None, visible=False)
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(), processes=(hidden,))))
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "k", "k")
        await until(pilot, lambda: "not visible from here" in text(app))


@pytest.mark.parametrize("key", ["i", "t", "k", "e", "c", "s"])
@pytest.mark.parametrize("source", ["demo", "replay"])
async def test_nothing_is_done_on_a_simulated_or_recorded_machine(children, key, source):
    made = snapshot(device(), processes=(process(children.python(SLEEP)),), source=source)
    app = GpuDoctorApp(ScriptedFeed(made))
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await opened(app, pilot, "k", key)
        await until(pilot, lambda: "Nothing is done: this machine is" in text(app))
        assert "do it" not in text(app)


async def test_the_stacks_of_a_python_process_are_shown(live, children):
    pid = children.python(
        "def waits_for_data():\n import time; print(1); time.sleep(60)\nwaits_for_data()"
    )
    app = live(pid)
    async with app.run_test(size=(100, 40)) as pilot:
        await asked(app, pilot, "k", "s")
        assert "py-spy will read" in text(app)
        await pilot.press("enter")
        await finished(pilot, "waits_for_data (<string>:2)")
        assert f"Thread {pid}" in text(app)
        assert state_of(pid) == "S"


async def test_a_process_without_torch_has_no_cache_and_lives_on(live, children):
    pid = children.python("import time; print(1)\nwhile True: time.sleep(0.01)")
    app = live(pid)
    async with app.run_test(size=(100, 40)) as pilot:
        await asked(app, pilot, "k", "c")
        assert "torch.cuda.empty_cache() will be run inside process" in text(app)
        await pilot.press("enter")
        await finished(pilot, f"Process {pid}: nothing")
        assert children.child(pid).poll() is None


async def test_a_process_at_work_keeps_its_cache(children):
    pid = children.python(SLEEP)
    busy = process(pid, started=time.time())
    busy = replace(busy, gpus=tuple(replace(use, sm_ratio=0.5) for use in busy.gpus))
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(), processes=(busy,))))
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "k", "c")
        await until(pilot, lambda: "is at work on GPU 0" in text(app))


async def test_the_list_names_every_act_and_the_process_and_enter_chooses(app):
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "k")
        page = text(app)
        for name in ("explain", "stacks", "empty cache", "interrupt", "terminate", "kill", "end"):
            assert name in page
        assert "200 python serve.py" in page
        await pilot.press("enter")
        await until(pilot, lambda: "not been judged yet" in text(app))


async def test_a_verdict_is_explained_from_the_table_and_from_the_details(feed):
    app = GpuDoctorApp(feed, watch=Verdicts(judged(pid=100)))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot, "end", "x")
        await until(pilot, lambda: "hints at it" in text(app))
        assert "its parent died" in text(app) and "gpudoctor kill 100" in text(app)
        await pilot.press("escape", "enter")
        await until(pilot, lambda: "host memory" in text(app))
        await pilot.press("x")
        await until(pilot, lambda: "hints at it" in text(app))
        await pilot.press("escape", "k")
        await until(pilot, lambda: "empty cache" in text(app))


async def test_nothing_can_be_done_to_a_process_that_left_while_its_details_are_open(app, feed):
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "enter")
        feed.publish(replace(feed.latest, processes=()))
        await until(pilot, lambda: "holds no GPU any more" in text(app))
        await pilot.press("k", "x")
        await pilot.pause(0.1)
        assert "empty cache" not in text(app) and "judged" not in text(app)
        assert lines(app)


async def test_a_command_line_cannot_drive_the_dialogs():
    odd = process(7, used=GIB, command=("[red]py", "\x1b[2J"))
    app = GpuDoctorApp(ScriptedFeed(snapshot(device(), processes=(odd,))))
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "k")
        await until(pilot, lambda: "empty cache" in text(app))
        assert "\x1b" not in text(app)
        await pilot.press("x")
        await until(pilot, lambda: "[red]py" in text(app))
        assert "\x1b" not in text(app)


async def test_several_tagged_processes_are_ended_together_and_only_they(live, children):
    pids = sorted(children.python(SLEEP) for _ in range(3))
    app = live(*pids)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: all(str(pid) in text(app) for pid in pids))
        await pilot.press("N", "home", "space", "space")
        await until(pilot, lambda: text(app).count(" *") == 2)
        await pilot.press("k")
        await until(pilot, lambda: "2 processes" in text(app))
        assert "stacks" not in text(app)
        await asked(app, pilot, "k")
        assert f"{pids[0]} " in text(app) and f"{pids[1]} " in text(app)
        await pilot.press("y")
        await until(pilot, lambda: all(children.child(pid).poll() is not None for pid in pids[:2]))
        assert children.child(pids[2]).poll() is None


async def test_a_tag_stays_with_its_process_in_any_order_and_can_be_taken_away(app):
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "space")
        marked = [line for line in lines(app) if " *" in line]
        assert len(marked) == 1 and "serve.py" in marked[0]
        await pilot.press("I")
        await until(pilot, lambda: [line for line in lines(app) if " *" in line] == marked)
        await pilot.press("U")
        await until(pilot, lambda: " *" not in text(app))
        await pilot.press("home", "space", "home", "space")
        await pilot.pause()
        assert " *" not in text(app)


async def test_rare_looks_delay_no_signal(children, nvml_sim):
    pid = children.python(SLEEP)
    nvml_sim.use(eight_h100(pids=[pid]))
    sampler = Sampler(open_nvml(), LocalHost(), interval_s=30.0)
    sampler.start()
    try:
        app = GpuDoctorApp(sampler)
        async with app.run_test(size=(100, 40)) as pilot:
            await asked(app, pilot, "k", "k")
            begun = time.monotonic()
            await pilot.press("y")
            await until(pilot, lambda: children.child(pid).poll() == -signal.SIGKILL)
            assert time.monotonic() - begun < 5
    finally:
        sampler.stop()


async def test_a_held_picture_shows_an_old_process_and_its_signal_still_reaches_no_other(
    live, children
):
    pid = children.python(SLEEP)
    app = live(pid)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "p")
        children.child(pid).kill()
        children.child(pid).wait()
        await pilot.press("k", "k")
        await until(pilot, lambda: f"Process {pid} has ended" in text(app))

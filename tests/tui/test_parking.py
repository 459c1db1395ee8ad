"""Parks real processes, on simulated drivers, from the screen."""

from __future__ import annotations

import pytest

from tests.cuda_sim.fixtures import CHECKPOINTED, RUNNING
from tests.tui.screen import lines, text, until
from tests.tui.test_acts import asked, finished
from tests.tui.test_details import opened


@pytest.fixture
def live(cuda_sim, monkeypatch, on_driver):
    """An application on the simulated drivers."""
    for name, value in cuda_sim.env.items():
        monkeypatch.setenv(name, value)
    return on_driver


def row_of(app, pid):
    return next((line for line in lines(app) if f" {pid} " in line), "")


async def test_a_process_is_parked_stays_in_the_table_and_is_brought_back(live, cuda_sim):
    job = cuda_sim.job(0, mib=2048)
    app = live()
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(app, pilot, "k", "p")
        assert "moved to the host's memory" in text(app) and str(job.pid) in text(app)
        assert job.state == RUNNING
        await pilot.press("y")
        await finished(pilot, "came back")
        assert f"{job.pid}  is parked" in text(app)
        assert "GPU 0: 2.0 GiB came back" in text(app)
        assert job.state == CHECKPOINTED
        await pilot.press("escape")
        await until(pilot, lambda: "(parked)" in row_of(app, job.pid))
        await asked(app, pilot, "k", "u")
        await pilot.press("y")
        await finished(pilot, "runs on its GPUs")
        assert "GPU 0: 2.0 GiB taken" in text(app)
        assert job.state == RUNNING
        await pilot.press("escape")
        await until(pilot, lambda: row_of(app, job.pid) and "(parked)" not in row_of(app, job.pid))


async def test_several_tagged_processes_are_parked_together(live, cuda_sim):
    jobs = sorted((cuda_sim.job(index) for index in range(3)), key=lambda job: job.pid)
    app = live()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: all(row_of(app, job.pid) for job in jobs))
        await pilot.press("N", "home", "space", "space")
        await until(pilot, lambda: text(app).count(" *") == 2)
        await asked(app, pilot, "k", "p")
        await pilot.press("y")
        await finished(pilot, "came back")
        assert [job.state for job in jobs] == [CHECKPOINTED, CHECKPOINTED, RUNNING]


async def test_a_refused_parking_tells_what_stands_in_the_way_and_calls_nothing(live, cuda_sim):
    cuda_sim.nvml.machine.driver_version = "535.10.01"
    job = cuda_sim.job(0)
    app = live()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: row_of(app, job.pid))
        await pilot.press("k", "p")
        await finished(pilot, "stands in the way")
        await pilot.press("y")
        await pilot.pause(0.1)
        assert job.state == RUNNING and cuda_sim.calls == []


async def test_a_parked_process_is_offered_its_way_back_and_others_are_not(live, cuda_sim):
    job = cuda_sim.job(0)
    app = live()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: row_of(app, job.pid))
        await pilot.press("k")
        await until(pilot, lambda: "empty cache" in text(app))
        assert "park" in text(app) and "unpark" not in text(app)
        await pilot.press("u")
        await pilot.pause(0.1)
        assert "Looking" not in text(app)


async def test_one_that_has_ended_stops_no_other_of_its_group(live, cuda_sim):
    jobs = sorted((cuda_sim.job(index) for index in range(3)), key=lambda job: job.pid)
    app = live()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: all(row_of(app, job.pid) for job in jobs))
        await pilot.press("N", "home", "space", "space", "space")
        await until(pilot, lambda: text(app).count(" *") == 3)
        await asked(app, pilot, "k", "p")
        gone = jobs[0]
        gone.child.kill()
        gone.child.wait()
        await pilot.press("y")
        await finished(pilot, "came back")
        assert [job.state for job in jobs[1:]] == [CHECKPOINTED, CHECKPOINTED]
        assert str(gone.pid) in text(app)


async def test_the_question_leaves_out_one_that_has_ended_before_it(live, cuda_sim):
    jobs = sorted((cuda_sim.job(index) for index in range(2)), key=lambda job: job.pid)
    app = live()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await until(pilot, lambda: all(row_of(app, job.pid) for job in jobs))
        await pilot.press("N", "home", "space", "space", "p")
        await until(pilot, lambda: "PAUSED" in text(app))
        jobs[0].child.kill()
        jobs[0].child.wait()
        await asked(app, pilot, "k", "p")
        assert "left out" in text(app) and str(jobs[0].pid) in text(app)
        await pilot.press("y")
        await finished(pilot, "came back")
        assert jobs[1].state == CHECKPOINTED

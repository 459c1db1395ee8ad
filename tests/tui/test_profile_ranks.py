"""Profiles jobs of two real processes from the screen's form: torchrun, torch and gloo on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gpudoctor.tui.sessions import kept_profiles, profiles
from tests.tui.screen import lines, seen, text
from tests.tui.test_details import opened
from tests.tui.test_profiles import home, typed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
__all__ = ["home"]
JOB = """\
import os, sys, time, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
torch.set_num_threads(1)
print("pid", os.getpid(), flush=True)
model = DistributedDataParallel(torch.nn.Linear(64, 8))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(int(sys.argv[1])):
    if dist.get_rank() == 1:
        time.sleep(0.08)  # planted
    model(torch.randn(16, 64)).sum().backward()
    optimizer.step()
dist.destroy_process_group()
"""
FAILING = """\
import os, time
if os.environ["RANK"] == "1":
    raise ValueError("no data on this rank")
time.sleep(60)
"""


async def two_processes(app, pilot, name, arguments=""):
    """Fill the whole form by the keys, and begin."""
    await opened(app, pilot, "R")
    await seen(pilot, "its arguments")
    await pilot.press(*typed(name), "tab", *typed(arguments), "tab")
    app.screen.query_one("#python").value = sys.executable
    await pilot.press("tab", "2", "enter")


async def test_a_job_is_followed_its_slow_rank_named_and_kept_as_one_run(app, home):
    (home / "train.py").write_text(JOB)
    async with app.run_test(size=(140, 50)) as pilot:
        await two_processes(app, pilot, "train.py", "60")
        await seen(pilot, "running")
        await seen(pilot, "pid ")
        await seen(pilot, " steps")
        assert " steps" in lines(app)[1]
        await seen(pilot, "Rank 1 holds the others up")
        page = text(app)
        assert "train.py:11" in page
        await pilot.press("escape")
        await seen(pilot, "2 ranks: Rank 1 holds the others up")
        [kept] = kept_profiles(profiles())
        assert json.loads((kept.folder / "profile.json").read_text())["world_size"] == 2
        await pilot.press("tab", "enter")
        await seen(pilot, "Rank 1 holds the others up")


async def test_esc_ends_all_processes_of_a_job_and_keeps_what_they_saw(app, home):
    (home / "train.py").write_text(JOB)
    async with app.run_test(size=(140, 50)) as pilot:
        await two_processes(app, pilot, "train.py", "100000")
        await seen(pilot, " steps")
        [errand] = app.errands.under_way
        ranks = [int(line.split()[-1]) for line in errand.talk.lines() if "pid " in line]
        assert len(ranks) == 2
        await pilot.press("escape")
        await seen(pilot, "of 2 ranks")
        assert errand.over
        assert not [pid for pid in ranks if Path("/proc", str(pid)).exists()]
        assert kept_profiles(profiles())[0].verdict.startswith("2 ranks: ")


async def test_the_rank_that_failed_is_named_with_what_it_raised(app, home):
    (home / "train.py").write_text(FAILING)
    async with app.run_test(size=(140, 50)) as pilot:
        await two_processes(app, pilot, "train.py")
        await seen(pilot, "no data on this rank")
        await seen(pilot, "train.py:3")
        await pilot.press("escape")
        await seen(pilot, "2 ranks: failed: ValueError: no data on this rank")

"""Verdicts on real processes, which the simulated driver says hold memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.orphan_scenes import (
    SCENES,
    double_fork,
    idle_child,
    in_tmux,
    loader_worker_left,
    rank_left,
    settle,
)
from tests.nvml_sim.machine import SimProcess
from tests.nvml_sim.presets import GIB, eight_h100
from tests.reclaim.children import nursery, until

pytestmark = pytest.mark.integration

WINDOW = "3"


def gpudoctor(env, *arguments):
    command = [sys.executable, "-m", "gpudoctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=env)


def machine(*pids: int):
    made = eight_h100(0)
    for number, pid in enumerate(pids):
        made.gpus[number % 8].processes.append(SimProcess(pid, (4 + number) * GIB, sm=0))
    return made


@pytest.fixture
def children(tmp_path):
    with nursery(tmp_path) as made:
        yield made
    if shutil.which("tmux"):
        server = ["tmux", "-L", f"gpudoctor-{os.getpid()}", "kill-server"]
        subprocess.run(server, capture_output=True)


def test_every_leftover_is_found_and_nobody_at_work_is_accused(children, nvml_sim):
    pytest.importorskip("torch")
    scenes = {
        scene: told
        for scene, told in SCENES.items()
        if shutil.which("tmux") or scene is not in_tmux
    }
    # Most of a scene is waiting for an interpreter or for torch.
    with ThreadPoolExecutor(4) as pool:
        pids = dict(zip(pool.map(lambda scene: scene(children), scenes), scenes, strict=True))
    settle()
    nvml_sim.use(machine(*pids))
    done = gpudoctor(nvml_sim.env, "orphans", "--all", "--json", "--window", WINDOW)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == "gpudoctor.orphans/1"
    rows = {row["pid"]: row for row in told["orphans"]}
    found = {pids[pid].__name__: rows[pid]["verdict"] for pid in pids}
    assert found == {scene.__name__: verdict for scene, (verdict, _) in scenes.items()}
    for pid, scene in pids.items():
        reason = scenes[scene][1]
        given = {one["id"]: one["evidence"] for one in rows[pid]["reasons"]}
        assert reason is None or given.get(reason), (scene.__name__, given)
        assert bool(rows[pid]["offers"]) == (rows[pid]["verdict"] != "in use")


def test_orphans_are_ended_and_their_memory_is_seen_to_come_back(children, nvml_sim):
    pytest.importorskip("torch")
    pids = [loader_worker_left(children), rank_left(children)]
    settle()
    simulated = nvml_sim.use(machine(*pids))
    command = [sys.executable, "-m", "gpudoctor", "kill", *map(str, pids), "--yes", "--json"]
    killing = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=nvml_sim.env)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 60)
    for gpu in simulated.gpus:
        gpu.processes.clear()
    simulated.save()
    told = json.loads(killing.communicate(timeout=60)[0])
    assert killing.returncode == 0
    assert {ending["outcome"] for ending in told["endings"]} == {"ended"}
    assert [gpu["freed_bytes"] for gpu in told["memory"]] == [4 * GIB, 5 * GIB]
    done = gpudoctor(nvml_sim.env, "orphans", "--json", "--window", "0")
    assert done.returncode == 0
    assert json.loads(done.stdout)["orphans"] == []


def test_orphans_with_kill_ends_the_orphans_and_nobody_else(children, nvml_sim):
    left, alive = double_fork(children), idle_child(children)
    settle()
    nvml_sim.use(machine(left, alive))
    asked = gpudoctor(nvml_sim.env, "orphans", "--kill", "--window", "2")
    assert asked.returncode == 2
    assert "nobody is there to confirm" in asked.stderr
    assert os.path.exists(f"/proc/{left}")
    done = gpudoctor(nvml_sim.env, "orphans", "--kill", "--yes", "--json", "--window", "2")
    told = json.loads(done.stdout)
    assert [row["pid"] for row in told["orphans"]] == [left]
    assert [ending["pid"] for ending in told["kill"]["endings"]] == [left]
    assert done.returncode == 0
    assert not os.path.exists(f"/proc/{left}")
    assert children.child(alive).poll() is None


def test_memory_that_a_dead_process_seems_to_hold_is_an_orphan(nvml_sim):
    ended = subprocess.Popen(["true"])
    ended.wait()
    nvml_sim.use(machine(ended.pid))
    done = gpudoctor(nvml_sim.env, "orphans", "--json", "--window", "1")
    (row,) = json.loads(done.stdout)["orphans"] or [None]
    namespace = os.readlink("/proc/self/ns/pid")
    if namespace != "pid:[4026531836]":
        pytest.skip("in a container an unknown pid proves nothing")
    assert done.returncode == 1
    assert row["verdict"] == "orphan"
    assert row["reasons"][0]["id"] == "owner-dead"
    assert row["memory_used_bytes"] == 4 * GIB


def test_a_kill_after_which_the_driver_still_names_the_process_says_so(children, nvml_sim):
    pid = children.python("import time; print('ready'); time.sleep(600)")
    nvml_sim.use(machine(pid))
    done = gpudoctor(nvml_sim.env, "kill", str(pid), "--yes")
    assert done.returncode == 0
    assert f"{pid}  ended by SIGINT" in done.stdout
    assert "no memory came back" in done.stdout
    assert f"the driver still lists {pid}" in done.stdout

"""`gpudoctor ps` and `record` as programs on the simulated driver, healthy, sick and absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from gpudoctor.host.procs import LocalHost
from gpudoctor.model.snapshot import DeviceState
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
from tests.nvml_sim.machine import SimMachine
from tests.nvml_sim.presets import FIRST_PID, GIB, eight_h100

pytestmark = pytest.mark.integration


def gpudoctor(env, *arguments: str, limit: float = 30) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gpudoctor", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit)


@pytest.fixture
def children():
    started = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)", f"job-{number}"])
        for number in range(3)
    ]
    yield started
    for child in started:
        child.kill()
        child.wait()


def test_real_processes_are_named_with_their_memory(nvml_sim, children):
    nvml_sim.use(eight_h100(pids=[child.pid for child in children]))
    done = gpudoctor(nvml_sim.env, "ps", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["pid"]: row for row in json.loads(done.stdout)["processes"]}
    for number, child in enumerate(children):
        row = rows[child.pid]
        assert row["visible"] is True
        assert row["memory_used_bytes"] == (6 + number) * GIB
        assert row["command"][-1] == f"job-{number}"
        assert row["parent_pid"] == os.getpid()
        assert [use["index"] for use in row["gpus"]] == [number]


def test_the_json_is_what_its_schema_says(nvml_sim, children):
    import msgspec

    from gpudoctor.model.listing import Listing

    nvml_sim.use(eight_h100(pids=[child.pid for child in children]))
    nvml_sim.machine.gpus[5].memory_used = 9 * GIB
    nvml_sim.save()
    listing = msgspec.json.decode(gpudoctor(nvml_sim.env, "ps", "--json").stdout, type=Listing)
    assert len(listing.processes) == 3
    assert [(gap.index, gap.memory_used_bytes) for gap in listing.unlisted] == [(5, 9 * GIB)]
    assert listing.unlisted[0].holders == ()


def test_pids_of_another_namespace_are_shown_and_not_dropped(nvml_sim):
    done = gpudoctor(nvml_sim.env, "ps")
    assert done.returncode == 0, done.stderr
    assert str(FIRST_PID) in done.stdout
    assert "not visible from here" in done.stdout


def test_real_ranks_are_named_and_stand_below_their_launcher(nvml_sim):
    rank = "import time; print('ready', flush=True); time.sleep(60)"
    code = f"""
import os, subprocess, sys
for rank in range(2):
    env = os.environ | dict(TORCHELASTIC_RUN_ID='r1', RANK=str(rank), WORLD_SIZE='2')
    child = subprocess.Popen([sys.executable, '-c', {rank!r}], env=env, stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
sys.stdin.read()
os.killpg(0, 9)
"""
    launcher = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        pids = [int(launcher.stdout.readline()) for _ in range(2)]
        nvml_sim.use(eight_h100(pids=pids))
        rows = json.loads(gpudoctor(nvml_sim.env, "ps", "--json", "--tree").stdout)["processes"]
        names = {row["pid"]: row["launchers"][0]["name"] for row in rows}
        assert names == {pids[0]: "rank 0/2", pids[1]: "rank 1/2"}
        assert {row["above"][0]["pid"] for row in rows} == {launcher.pid}
        text = gpudoctor({**nvml_sim.env, "COLUMNS": "250"}, "ps", "--tree").stdout
        assert text.count(f" {launcher.pid}\n") + text.count(f" {launcher.pid} ") == 1
        assert "torchrun rank 1/2" in text
    finally:
        launcher.communicate()


def test_a_gpu_that_hangs_costs_a_wait_and_not_the_others(nvml_sim, children):
    nvml_sim.use(eight_h100(pids=[child.pid for child in children]))
    nvml_sim.machine.hang("nvmlDeviceGetMemoryInfo_v2", 60, gpu=1)
    begun = time.monotonic()
    done = gpudoctor(nvml_sim.env, "ps", "--json")
    assert time.monotonic() - begun < 9
    answer = json.loads(done.stdout)
    assert {row["pid"] for row in answer["processes"]} >= {children[0].pid, children[2].pid}
    assert [device["state"] for device in answer["devices"]].count("ok") == 7


def test_a_lost_gpu_is_told_in_its_line(nvml_sim):
    nvml_sim.machine.lose(4)
    done = gpudoctor(nvml_sim.env, "ps")
    assert done.returncode == 0
    assert "lost: nvml" in done.stdout


@pytest.mark.parametrize(
    ("code", "words"),
    [(4, "Insufficient Permissions"), (9, "not loaded"), (18, "different versions")],
)
@pytest.mark.parametrize("command", [["ps"], ["record", "x.ndjson"]])
def test_a_driver_that_does_not_open_is_one_block_and_code_3(nvml_sim, command, code, words):
    nvml_sim.machine.fail_init(code)
    done = gpudoctor(nvml_sim.env, *command)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "\ncause: " in done.stderr
    assert "\n\nhint: " in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_driver_without_a_gpu_is_one_block_and_code_3(nvml_sim):
    nvml_sim.use(SimMachine([]))
    done = gpudoctor(nvml_sim.env, "ps")
    assert done.returncode == 3
    assert "it has no GPU" in done.stderr


def test_a_machine_without_a_driver_is_one_block_and_code_3(tmp_path):
    env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    done = gpudoctor(env, "ps")
    if done.returncode == 0:
        pytest.skip("this machine has an NVIDIA driver")
    assert done.returncode == 3
    assert done.stderr.startswith("error: there is no NVIDIA driver on this machine")
    assert "gpudoctor --demo" in done.stderr


def test_a_recording_of_the_driver_plays_as_the_driver_was(nvml_sim, children, tmp_path):
    nvml_sim.use(eight_h100(pids=[child.pid for child in children]))
    file = tmp_path / "machine.ndjson.gz"
    done = gpudoctor(nvml_sim.env, "record", str(file), "--duration", "1.5", "--interval", "0.5")
    assert done.returncode == 0, done.stderr
    live = json.loads(gpudoctor(nvml_sim.env, "ps", "--json").stdout)
    played = json.loads(gpudoctor(dict(os.environ), "--replay", str(file), "ps", "--json").stdout)
    assert [row["pid"] for row in played["processes"]] == [row["pid"] for row in live["processes"]]
    assert played["devices"] == live["devices"]


# ---- the sampler on the driver ----


def states(sampler: Sampler) -> list[DeviceState]:
    return [device.state for device in sampler.latest.devices]


def wait_until(condition, limit: float = 15.0) -> None:
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, "it never came to this"
        time.sleep(0.05)


@pytest.fixture
def sampler(nvml_sim):
    running = Sampler(open_nvml(), LocalHost(), interval_s=0.1, deadline_s=0.5, reopen=open_nvml)
    running.start()
    wait_until(lambda: running.latest is not None and len(running.latest.devices) == 8)
    yield running
    nvml_sim.machine.clear_faults()
    running.stop()


def test_a_reloaded_driver_is_followed_without_a_restart(nvml_sim, sampler):
    nvml_sim.machine.driver_away()
    wait_until(lambda: DeviceState.OK not in states(sampler))
    nvml_sim.machine.driver_back()
    wait_until(lambda: states(sampler) == [DeviceState.OK] * 8)


def test_a_gpu_that_hangs_is_stale_and_comes_back(nvml_sim, sampler):
    nvml_sim.machine.hang("nvmlDeviceGetUtilizationRates", 60, gpu=2)
    wait_until(lambda: states(sampler)[2] is DeviceState.STALE)
    taken = sampler.latest.taken_at
    wait_until(lambda: sampler.latest.taken_at > taken + 0.3)
    assert states(sampler).count(DeviceState.OK) == 7
    nvml_sim.machine.clear_faults()
    wait_until(lambda: states(sampler) == [DeviceState.OK] * 8)


def test_a_lost_gpu_has_no_old_values(nvml_sim, sampler):
    nvml_sim.machine.lose(6)
    wait_until(lambda: states(sampler)[6] is DeviceState.LOST)
    assert sampler.latest.devices[6].memory.used_bytes is None
    nvml_sim.machine.find(6)
    wait_until(lambda: states(sampler)[6] is DeviceState.OK)


def test_an_xid_reaches_the_snapshot(nvml_sim, sampler):
    nvml_sim.machine.xid(3, 79)
    wait_until(lambda: any(event.code == 79 for event in sampler.latest.events))


def test_stopping_takes_less_than_two_seconds_while_a_call_hangs(nvml_sim, sampler):
    nvml_sim.machine.hang("*", 60, gpu=0)
    wait_until(lambda: states(sampler)[0] is DeviceState.STALE)
    begun = time.monotonic()
    sampler.stop()
    assert time.monotonic() - begun < 2

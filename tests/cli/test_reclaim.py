from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from gpudoctor.cli.schema import schema_of


def gpudoctor(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpudoctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_orphans_of_the_demo_are_one_object_with_the_promised_names():
    done = gpudoctor("--demo", "orphans", "--json", "--all", "--window", "1")
    told = json.loads(done.stdout)
    assert told["schema"] == "gpudoctor.orphans/1"
    assert told["orphans"]
    for row in told["orphans"]:
        assert row["verdict"] in ("orphan", "suspect", "in use")
        assert {"pid", "reasons", "offers", "memory_used_bytes"} <= set(row)
    assert "SIMULATED" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("kill", "1"), ("empty-cache", "1"), ("orphans", "--kill")],
    ids=lambda one: one[0],
)
def test_nothing_is_done_to_the_processes_of_a_simulated_machine(arguments):
    done = gpudoctor("--demo", *arguments, "--yes")
    assert done.returncode == 2
    assert "simulated or recorded machine" in done.stderr


@pytest.mark.parametrize("name", ["orphans", "kill", "empty-cache"])
def test_each_command_s_output_has_a_schema(name):
    assert schema_of(name)["$defs"]


def test_a_dry_run_names_the_targets_and_ends_nobody(sleeper):
    done = gpudoctor("kill", str(sleeper.pid), "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["dry_run"] is True
    assert [one["pid"] for one in told["targets"]] == [sleeper.pid]
    assert told["endings"] == []
    assert sleeper.poll() is None


def test_without_anybody_to_confirm_nobody_is_ended(sleeper):
    done = gpudoctor("kill", str(sleeper.pid), stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "nobody is there to confirm" in done.stderr
    assert sleeper.poll() is None


def test_who_is_to_be_entered_is_named_and_nobody_is_asked_about_a_process_that_is_not_there(
    sleeper,
):
    done = gpudoctor("empty-cache", str(sleeper.pid), stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert f"inside process {sleeper.pid} (sleep)" in done.stderr
    done = gpudoctor("empty-cache", "99999999", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "there is no process 99999999" in done.stderr
    assert "runs code" not in done.stderr


def test_one_signal_can_be_chosen_and_a_survivor_makes_exit_code_1():
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1); time.sleep(60)"
    deaf = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE)
    try:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        survived = gpudoctor("kill", str(deaf.pid), "--yes", "--signal", "int", "--grace", "0.3")
        assert survived.returncode == 1
        assert "is still there after the last signal" in survived.stdout
        assert gpudoctor("kill", str(deaf.pid), "--yes", "--signal", "KILL").returncode == 0
    finally:
        deaf.kill()
        deaf.communicate()


def test_a_pid_that_is_nobody_s_is_an_error():
    done = gpudoctor("kill", "4194303", "--yes")
    assert done.returncode == 2
    assert "there is no process 4194303" in done.stderr


def test_a_refused_process_is_named_with_the_reason():
    done = gpudoctor("kill", str(os.getpid()), "--yes")
    assert done.returncode == 2
    assert "is not to be ended" in done.stderr
    assert "started gpudoctor" in done.stderr


def test_a_gpu_that_hangs_does_not_hang_orphans(nvml_sim):
    nvml_sim.machine.hang("nvmlDeviceGetMemoryInfo_v2", 120, gpu=0)
    nvml_sim.machine.hang("nvmlDeviceGetComputeRunningProcesses_v3", 120, gpu=0)
    begun = time.monotonic()
    done = gpudoctor("orphans", "--json", "--all", "--window", "0", env=nvml_sim.env)
    assert time.monotonic() - begun < 25
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout)["schema"] == "gpudoctor.orphans/1"

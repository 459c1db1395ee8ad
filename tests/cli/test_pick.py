from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.nvml_sim.presets import GIB

SHOW = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ.get('CUDA_DEVICE_ORDER'))"


def pick(*words: str, environ: dict[str, str] | None = None, demo: bool = False, **more: str):
    head = [sys.executable, "-m", "gpudoctor", *(["--demo"] if demo else []), "pick"]
    base = {**os.environ, **(environ or {})}
    base = {name: value for name, value in base.items() if not name.startswith("CUDA_")}
    command = [*head, "--over", "0.3", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**base, **more})


def test_the_demos_idle_gpus_are_picked():
    done = pick("-n", "2", "--min-free", "20GiB", "--max-util", "10", "--index", demo=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "5,4\n"
    assert "SIMULATED" in done.stderr


def test_too_few_exit_with_1_and_say_why_each_was_left():
    done = pick("-n", "3", "--max-util", "5", demo=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: 3 free GPUs wanted, 2 found" in done.stderr
    assert "GPU 6: " in done.stderr
    assert "busy, at most 5% wanted" in done.stderr


def test_json_says_it_too_with_the_same_exit_code():
    done = pick("-n", "3", "--max-util", "5", "--json", demo=True)
    body = json.loads(done.stdout)
    assert (done.returncode, body["schema"], body["value"]) == (1, "gpudoctor.pick/1", None)
    assert len(body["others"]) == 8
    assert body["looks"] >= 3


@pytest.fixture
def machine(nvml_sim):
    """Eight GPUs: 0 to 5 hold a job, 6 and 7 are free."""
    for index, gpu in enumerate(nvml_sim.machine.gpus):
        if index >= 6:
            gpu.processes.clear()
            gpu.utilization = 0
    nvml_sim.save()
    return nvml_sim


def uuids(machine, *indices: int) -> str:
    return ",".join(str(machine.machine.gpus[index].uuid) for index in indices)


def test_free_gpus_are_picked_by_uuid(machine):
    done = pick("-n", "2", "--idle", environ=machine.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == uuids(machine, 6, 7)


def test_a_command_is_run_with_the_variable_and_its_own_exit_code(machine):
    code = SHOW + "; raise SystemExit(7)"
    done = pick("--idle", "--", sys.executable, "-c", code, environ=machine.env)
    assert done.returncode == 7, done.stderr
    assert done.stdout.split() == [uuids(machine, 6), "None"]


def test_indices_are_given_with_the_order_that_they_mean(machine):
    done = pick("--idle", "--index", sys.executable, "-c", SHOW, environ=machine.env)
    assert done.stdout.split() == ["6", "PCI_BUS_ID"], done.stderr


def test_the_options_of_a_command_are_its_own(machine):
    done = pick(
        "--idle",
        sys.executable,
        "-c",
        "import sys; print(sys.argv)",
        "-n",
        "x",
        "--json",
        environ=machine.env,
    )
    assert "['-c', '-n', 'x', '--json']" in done.stdout, done.stderr


def test_a_signal_reaches_the_command_itself(machine):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    done = pick("--idle", "--", sys.executable, "-c", code, environ=machine.env)
    assert done.returncode == -signal.SIGTERM


def test_what_is_hidden_already_is_not_picked(machine):
    hidden = {"CUDA_VISIBLE_DEVICES": "7,0"}
    assert pick("--idle", environ=machine.env, **hidden).stdout.strip() == uuids(machine, 7)
    assert pick("-n", "2", "--idle", environ=machine.env, **hidden).returncode == 1
    done = pick("-n", "2", "--idle", "--any", environ=machine.env, **hidden)
    assert done.stdout.strip() == uuids(machine, 6, 7)


def test_a_hung_gpu_is_not_picked_and_does_not_hold_up_the_others(machine):
    machine.machine.hang("nvmlDeviceGetMemoryInfo_v2", 30, gpu=6)
    machine.machine.hang("nvmlDeviceGetMemoryInfo", 30, gpu=6)
    machine.save()
    done = pick("--idle", environ=machine.env)
    assert done.stdout.strip() == uuids(machine, 7), done.stderr


def test_memory_is_asked_of_the_driver(machine):
    machine.machine.gpus[7].memory_used = 70 * GIB
    machine.save()
    done = pick("--idle", "--min-free", "20GiB", "-n", "2", environ=machine.env)
    assert done.returncode == 1
    assert "GPU 7: " in done.stderr
    assert "GiB free, 20.0 GiB wanted" in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--min-free", "lots"), 2),
        (("--max-util", "200"), 2),
        (("-n", "0"), 2),
        (("--json", "--", "true"), 2),
        (("--", "true"), 2),
    ],
)
def test_a_wrong_call_is_a_usage_error(words, code):
    done = pick(*words, demo=True)
    assert done.returncode == code
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_that_does_not_exist_is_said(machine):
    done = pick("--idle", "--", "no-such-program", environ=machine.env)
    assert done.returncode == 2
    assert "no-such-program cannot be run" in done.stderr

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from gpudoctor.cli.main import run
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import MigReading
from gpudoctor.model.visible import Visibility
from gpudoctor.nvml.demo import ENVIRONMENTS, DemoTimeline
from tests.nvml_sim.machine import SimProcess
from tests.nvml_sim.presets import mig_a100, mixed

# What the fake libcuda answers for its devices 0 and 1.
FAKE = [f"GPU-{'-'.join(h * n for n in (4, 2, 2, 2, 6))}" for h in ("a0", "a1")]


def visible(*words: str, environ: dict[str, str] | None = None, demo: bool = False):
    head = [sys.executable, "-m", "gpudoctor", *(["--demo"] if demo else []), "visible"]
    base = {**os.environ, **(environ or {})}
    base = {name: value for name, value in base.items() if not name.startswith("CUDA_")}
    return subprocess.run([*head, *words], capture_output=True, text=True, timeout=60, env=base)


def answer(*words: str, **options) -> Visibility:
    done = visible("--json", *words, **options)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body.pop("schema") == "gpudoctor.visible/1"
    return msgspec.convert(body, Visibility)


def test_json_has_the_names_that_programs_rely_on():
    done = visible("--json", "--env", "CUDA_VISIBLE_DEVICES=2,9", demo=True)
    body = json.loads(done.stdout)
    row = body["visible"][0]
    assert (row["ordinal"], row["nvml_index"], row["uuid"][:4]) == (0, 2, "GPU-")
    assert [token["text"] for token in body["tokens"]] == ["2", "9"]
    assert all(token["reason"] for token in body["tokens"])


def test_text_says_what_each_token_did():
    done = visible("--env", "CUDA_VISIBLE_DEVICES=2,9", demo=True)
    assert "cuda:0  GPU 2" in done.stdout
    assert "ends the list  there is no GPU 9" in done.stdout
    assert "SIMULATED" in done.stderr


def test_a_variable_is_set_emptied_and_unset():
    assert len(answer("--env", "CUDA_VISIBLE_DEVICES=1", demo=True).visible) == 1
    assert answer("--env", "CUDA_VISIBLE_DEVICES=", demo=True).visible == ()
    twice = ("--env", "CUDA_VISIBLE_DEVICES=1", "--env", "CUDA_VISIBLE_DEVICES")
    assert len(answer(*twice, demo=True).visible) == 8


@pytest.mark.parametrize("words", [("--env", "=1"), ("--python", "python3"), ("--pid", "0")])
def test_a_wrong_call_is_a_usage_error(words):
    done = visible(*words, demo=True)
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_that_is_gone_is_an_error():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    done = visible("--pid", str(child.pid), demo=True)
    assert done.returncode == 2
    assert f"there is no process {child.pid}" in done.stderr


def test_a_mixed_machine_is_counted_by_its_buses_where_that_is_asked_for(nvml_sim):
    machine = nvml_sim.use(mixed())
    buses = [str(gpu["pci.bus_id"]).lower() for gpu in machine.gpus]
    by_bus = sorted(range(4), key=lambda index: buses[index])
    order = ("--env", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "--env", "CUDA_VISIBLE_DEVICES=3,0")
    found = answer(*order, environ=nvml_sim.env)
    assert [row.nvml_index for row in found.visible] == [by_bus[3], by_bus[0]]
    assert found.standing == "documented"
    assert answer(environ=nvml_sim.env).standing == "unverified"


def test_a_mig_machine_shows_its_first_instance(nvml_sim):
    nvml_sim.use(mig_a100())
    found = answer(environ=nvml_sim.env)
    assert len(found.visible) == 1
    assert found.visible[0].uuid == nvml_sim.machine.gpus[0].migs[0].uuid
    assert found.visible[0].gpu_instance == 1


@pytest.fixture
def two_gpus(nvml_sim, fake_libcuda):
    """A machine whose NVML and libcuda know the same two GPUs."""
    nvml_sim.machine.gpus = nvml_sim.machine.gpus[:2]
    for gpu, uuid in zip(nvml_sim.machine.gpus, FAKE, strict=True):
        gpu.uuid = uuid
        gpu.processes.clear()
    nvml_sim.use(nvml_sim.machine)
    env = nvml_sim.env
    return {**env, "LD_LIBRARY_PATH": f"{fake_libcuda}:{env['LD_LIBRARY_PATH']}"}


def test_cuda_itself_is_asked_in_a_child(two_gpus):
    found = answer(environ=two_gpus)
    assert (found.source, found.standing, found.expected) == ("driver", None, None)
    assert [row.uuid for row in found.visible] == FAKE


def test_cuda_wins_over_the_rules_where_they_disagree(two_gpus):
    # The fake driver does not read the variable, as a driver with rules of its own would.
    found = answer("--env", "CUDA_VISIBLE_DEVICES=1", environ=two_gpus)
    assert found.source == "driver"
    assert [row.nvml_index for row in found.visible] == [0, 1]
    assert found.expected is not None
    assert [row.nvml_index for row in found.expected] == [1]
    shown = visible("--env", "CUDA_VISIBLE_DEVICES=1", environ=two_gpus).stdout
    assert "The rules would give" in shown


def test_a_driver_that_hangs_leaves_the_rules(two_gpus):
    hung = {**two_gpus, "FAKE_HANG": "1"}
    found = answer("--timeout", "1", environ=hung)
    assert found.source == "rules"
    assert "Not confirmed by the driver: no answer within 1 s" in found.notes[-1]


def test_a_process_is_shown_with_its_own_variables_and_nvmls_word(nvml_sim):
    code = "import time; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "5"},
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        nvml_sim.machine.gpus[5].processes.append(SimProcess(child.pid, 1 << 30))
        nvml_sim.save()
        agrees = answer("--pid", str(child.pid), environ=nvml_sim.env)
        nvml_sim.machine.gpus[5].processes.pop()
        nvml_sim.machine.gpus[2].processes.append(SimProcess(child.pid, 1 << 30))
        nvml_sim.save()
        differs = answer("--pid", str(child.pid), environ=nvml_sim.env)
        child.kill()
    assert [row.nvml_index for row in agrees.visible] == [5]
    assert "which agrees" in agrees.notes[-1]
    assert differs.source == "nvml"
    assert [row.nvml_index for row in differs.visible] == [2]


def test_json_needs_neither_torch_nor_rich():
    code = (
        "import sys; from gpudoctor.cli.main import run; run(['--demo', 'visible', '--json']); "
        "print([name for name in ('rich', 'torch', 'textual') if name in sys.modules], "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_of_another_users_process_no_variable_is_taken_that_loads_code(nvml_sim, tmp_path):
    asked = tmp_path / "python"
    asked.write_text(f"#!/bin/sh\nenv > {tmp_path}/environ\n")
    asked.chmod(0o755)
    theirs = {
        "PATH": os.environ["PATH"],
        "CUDA_VISIBLE_DEVICES": "5",
        "CUDA_INJECTION64_PATH": "/tmp/evil.so",
        "CUDA_MPS_PIPE_DIRECTORY": "/tmp/evil",
    }
    for become, given in ("os.setresuid(1, 1, 1)", False), ("0", True):
        code = f"import os, time; {become}; print(1, flush=True); time.sleep(60)"
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, env=theirs, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            answer("--pid", str(child.pid), "--python", str(asked), environ=nvml_sim.env)
            child.kill()
        seen = (tmp_path / "environ").read_text().splitlines()
        assert "CUDA_VISIBLE_DEVICES=5" in seen
        assert ("CUDA_INJECTION64_PATH=/tmp/evil.so" in seen) is given
        assert ("CUDA_MPS_PIPE_DIRECTORY=/tmp/evil" in seen) is given


def test_a_process_of_the_demo_is_known_with_its_variables(capsys):
    assert run(["--demo", "visible", "--json", "--pid", "41201"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["value"] == "0,1,2,3"
    assert [row["nvml_index"] for row in told["visible"]] == [0, 1, 2, 3]
    assert told["notes"][-1] == "NVML sees process 41201 on GPU 1, which agrees."


def test_every_process_of_the_demo_has_variables_that_agree_with_its_gpus():
    snapshot = DemoTimeline(0.0).at(0.0)
    assert {row.pid for row in snapshot.processes} == set(ENVIRONMENTS)
    gpus = [GpuRow(one.facts, MigReading()) for one in snapshot.devices]
    for row in snapshot.processes:
        seen = {one.uuid for one in resolve(ENVIRONMENTS[row.pid], gpus).visible}
        assert {use.uuid for use in row.gpus} <= seen


def test_a_recording_holds_no_variables_and_says_so(capsys):
    assert run(["--replay", "some.file", "visible", "--pid", "1"]) == 2
    assert "does not hold the variables" in capsys.readouterr().err

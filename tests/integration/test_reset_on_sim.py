"""`gpudoctor reset` as a program. A script stands in for nvidia-smi; nothing real is ever reset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tests.nvml_sim.machine import SimProcess
from tests.nvml_sim.presets import GIB, eight_h100
from tests.reclaim.children import nursery

pytestmark = pytest.mark.integration
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a reset is refused to all but root")

SCRIPT = """#!/bin/sh
echo "$*" >> "$FAKE_SMI_LOG"
case "$*" in
  *-pm*) exit "${FAKE_SMI_PM:-0}" ;;
esac
case "$FAKE_SMI" in
  busy) echo "The following GPUs could not be reset:"
        echo "  GPU 00000000:19:00.0: In use by another client"; exit 255 ;;
  unsupported) echo "GPU reset is not supported on this device."; exit 3 ;;
  hang) sleep 60 & wait ;;
  gone) sed -i 's/^gpu.count .*/gpu.count 1/' "$GPUDOCTOR_NVML_SIM_STATE" ;;
  back) sed -i '/^gpu.3.lost/d' "$GPUDOCTOR_NVML_SIM_STATE" ;;
  lost) echo "gpu.3.lost 1" >> "$GPUDOCTOR_NVML_SIM_STATE" ;;
esac
echo "GPU 00000000:19:00.0 was successfully reset."
echo "All done."
"""


class Machine:
    def __init__(self, sim, folder):
        self.sim = sim
        self.log = folder / "smi.log"
        script = folder / "bin" / "nvidia-smi"
        script.parent.mkdir()
        script.write_text(SCRIPT)
        script.chmod(0o755)
        self.env = {
            **sim.env,
            "PATH": f"{script.parent}:{os.environ['PATH']}",
            "FAKE_SMI_LOG": str(self.log),
        }
        sim.use(eight_h100(processes=0))
        for gpu in sim.machine.gpus:
            gpu["recovery_action"] = 1
        sim.save()

    def run(self, *arguments: str, typed: str | None = None, **env: str):
        return subprocess.run(
            [sys.executable, "-m", "gpudoctor", "reset", *arguments],
            env={**self.env, **env},
            input="" if typed is None else f"{typed}\n",
            capture_output=True,
            text=True,
            timeout=60,
        )

    def uuid(self, index: int) -> str:
        return self.sim.machine.gpus[index].uuid

    @property
    def commands(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(nvml_sim, tmp_path):
    return Machine(nvml_sim, tmp_path)


def well(machine, index: int = 3) -> None:
    """The driver asks for nothing any more, as after a reset that worked."""
    machine.sim.machine.gpus[index]["recovery_action"] = 0
    machine.sim.save()


@as_root
def test_without_run_nothing_is_run_and_the_exact_commands_are_told(machine):
    done = machine.run("3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"nvidia-smi --gpu-reset -i {machine.uuid(3)}" in done.stdout
    assert f"nvidia-smi -i {machine.uuid(3)} -pm 1" in done.stdout
    assert "gpudoctor reset 3 --run" in done.stdout
    assert machine.commands == []


@as_root
@pytest.mark.parametrize("by", ["index", "uuid"])
def test_with_run_and_the_name_typed_it_is_reset_and_looked_at(machine, by):
    well(machine)
    typed = "3" if by == "index" else machine.uuid(3)
    done = machine.run("3", "--run", "--json", typed=typed)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == "gpudoctor.reset/1"
    assert report["outcome"] == "reset"
    uuid = machine.uuid(3)
    assert machine.commands == [f"-i {uuid} -pm 0", f"--gpu-reset -i {uuid}", f"-i {uuid} -pm 1"]


@as_root
@pytest.mark.parametrize("typed", ["2", "yes", "y", "", "GPU-"])
def test_anything_else_typed_runs_nothing(machine, typed):
    done = machine.run("3", "--run", typed=typed)
    assert done.returncode != 0
    assert machine.commands == []


@as_root
def test_nobody_at_the_keyboard_runs_nothing(machine):
    done = machine.run("3", "--run")
    assert done.returncode == 130
    assert machine.commands == []


def test_a_process_on_the_gpu_is_named_and_nothing_is_run(machine, tmp_path):
    with nursery(tmp_path) as children:
        pid = children.python("import time; print('ready'); time.sleep(60)")
        machine.sim.machine.gpus[3].processes.append(SimProcess(pid, 9 * GIB))
        machine.sim.save()
        done = machine.run("3", "--run", typed="3")
        assert done.returncode == 1
        assert f"gpudoctor kill {pid}" in done.stdout
        assert "9.0 GiB" in done.stdout
        assert machine.commands == []
        assert machine.run("4", "--json").stdout.count(str(pid)) == 0


def test_a_gpu_that_draws_a_screen_is_left_alone(machine):
    machine.sim.machine.gpus[0]["display.active"] = 1
    machine.sim.save()
    done = machine.run("0", "--run", typed="0")
    assert done.returncode == 1
    assert "draws a screen" in done.stdout
    assert machine.commands == []


@as_root
@pytest.mark.parametrize(
    ("mode", "words"),
    [("busy", "a client still has it open"), ("unsupported", "does not support a reset")],
)
def test_what_nvidia_smi_refuses_is_told_and_persistence_mode_put_back(machine, mode, words):
    done = machine.run("3", "--run", typed="3", FAKE_SMI=mode)
    assert done.returncode == 1
    assert "was not reset" in done.stdout
    assert words in done.stdout
    assert machine.commands[-1] == f"-i {machine.uuid(3)} -pm 1"


@as_root
def test_a_reset_that_hangs_ends_with_the_limit(machine):
    begun = time.monotonic()
    done = machine.run("3", "--run", "--timeout", "1", typed="3", FAKE_SMI="hang")
    assert time.monotonic() - begun < 15
    assert done.returncode == 1
    assert "did not end within 1 s" in done.stdout


@as_root
def test_persistence_mode_that_cannot_be_switched_off_stops_before_the_reset(machine):
    done = machine.run("3", "--run", typed="3", FAKE_SMI_PM="4")
    assert done.returncode == 1
    assert machine.commands == [f"-i {machine.uuid(3)} -pm 0"]


@as_root
@pytest.mark.parametrize(
    ("mode", "words"),
    [("gone", "is no longer there"), ("lost", "is lost"), ("", "still recommends: reset the GPU")],
)
def test_a_success_that_nvidia_smi_only_claims_is_not_believed(machine, mode, words):
    done = machine.run("3", "--run", typed="3", FAKE_SMI=mode)
    assert done.returncode == 1
    assert "is not well" in done.stdout
    assert words in done.stdout


@as_root
def test_a_gpu_off_the_bus_can_be_reset_and_is_well_when_it_is_back(machine):
    well(machine)
    machine.sim.machine.lose(3)
    done = machine.run("3", "--run", "--json", typed="3", FAKE_SMI="back")
    assert json.loads(done.stdout)["outcome"] == "reset", done.stdout
    assert machine.commands == ["--gpu-reset -i 3"]


@as_root
def test_a_machine_without_nvidia_smi_is_told(machine, tmp_path):
    done = machine.run("3", "--run", typed="3", PATH=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "nvidia-smi is not on PATH" in done.stdout


def test_a_gpu_that_does_not_exist_is_one_block(machine):
    done = machine.run("17")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no GPU 17")
    assert "hint: " in done.stderr

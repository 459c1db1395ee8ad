"""Slurm's prolog and epilog, run as slurmd runs them, on the simulated driver."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy/slurm"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
]


@pytest.fixture
def run(nvml_sim, tmp_path):
    """Runs a script for a job on these GPUs; gives its exit code, its output, and what scontrol got."""
    tool, control = tmp_path / "gpudoctor", tmp_path / "scontrol"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m gpudoctor "$@"\n')
    control.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >> {tmp_path}/told\n')
    tool.chmod(0o755)
    control.chmod(0o755)

    def script(name, gpus, **more):
        env = {
            **os.environ,
            **nvml_sim.env,
            "GPUDOCTOR": str(tool),
            "SCONTROL": str(control),
            "GPUDOCTOR_ATTEMPTS": "1",
            "SLURM_JOB_ID": "4711",
            "SLURMD_NODENAME": "node7",
            "SLURM_JOB_GPUS": gpus,
            **more,
        }
        done = subprocess.run(
            ["bash", str(FOLDER / name)], env=env, capture_output=True, text=True, timeout=60
        )
        told = tmp_path / "told"
        return done.returncode, done.stdout, told.read_text() if told.exists() else ""

    return script


@pytest.mark.parametrize("name", ["prolog.sh", "epilog.sh"])
def test_the_scripts_are_bash(name):
    assert subprocess.run(["bash", "-n", str(FOLDER / name)], check=False).returncode == 0
    assert os.access(FOLDER / name, os.X_OK)


@pytest.mark.parametrize("name", ["prolog.sh", "epilog.sh"])
def test_a_job_without_gpus_is_not_looked_at(run, name):
    assert run(name, "", GPUDOCTOR="/no/such/tool") == (0, "", "")


@pytest.mark.parametrize("name", ["prolog.sh", "epilog.sh"])
def test_a_tool_that_is_missing_does_not_empty_the_cluster(run, name):
    code, out, told = run(name, "0", GPUDOCTOR="/no/such/tool")
    assert (code, told) == (0, "")
    assert "could not look" in out


def test_a_job_starts_where_all_is_well(run):
    code, out, _ = run("prolog.sh", "3")
    assert (code, out) == (0, "")


def test_no_job_starts_on_a_gpu_that_is_lost(run, nvml_sim):
    nvml_sim.machine.lose(3)
    code, out, _ = run("prolog.sh", "3")
    assert code == 1
    assert "not fit for job 4711" in out
    assert "driver.gpu-lost" in out


def test_a_process_that_is_left_drains_the_node_with_the_reason(run, nvml_sim):
    pid = nvml_sim.machine.gpus[2].processes[0].pid
    code, out, told = run("epilog.sh", "1-2")
    assert code == 0
    words = told.splitlines()
    assert words[:3] == ["update", "nodename=node7", "state=drain"]
    assert words[3].startswith("reason=gpudoctor: pid ")
    assert f"pid {pid} of " in out


def test_gpus_of_other_jobs_are_not_looked_at(run, nvml_sim):
    for index in (0, 4, 5):
        nvml_sim.machine.gpus[index].processes.clear()
    nvml_sim.save()
    assert run("epilog.sh", "0,4-5") == (0, "", "")
    assert "state=drain" in run("epilog.sh", "0,1")[2]

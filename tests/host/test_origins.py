"""Who launched a process: from made-up evidence, and from real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpudoctor.host.origins import ancestors, launchers, origin
from gpudoctor.host.proc_files import parse_cgroup
from gpudoctor.model.lineage import Placement

ID = "3f" * 32
SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


def named(command=(), environ=None, cgroup: str = "") -> list[tuple[str, str]]:
    placement = parse_cgroup(cgroup) if cgroup else Placement()
    return [(one.kind, one.name) for one in launchers(command, environ or {}, placement)]


def test_a_process_of_a_shell_has_no_launcher():
    scope = "0::/user.slice/user-1000.slice/session-3.scope\n"
    assert named(("python", "a.py"), {"PATH": "/bin"}, scope) == []


def test_a_torchrun_rank_is_named_with_its_number():
    environ = {"TORCHELASTIC_RUN_ID": "7", "RANK": "3", "WORLD_SIZE": "8"}
    assert named(environ=environ) == [("torchrun", "rank 3/8")]


def test_a_notebook_is_named_where_the_server_told_it():
    command = ("python", "-m", "ipykernel_launcher", "-f", "/run/kernel-0c9b9d1e-77.json")
    (found,) = launchers(command, {"JPY_SESSION_NAME": "/home/ana/a b.ipynb"}, Placement())
    assert (found.kind, found.name) == ("jupyter", "a b.ipynb")
    assert found.detail == "kernel 0c9b9d1e-77"


def test_a_kernel_without_a_notebook_is_named_by_its_id():
    command = ("python", "-m", "ipykernel_launcher", "-f", "/run/kernel-0c9b9d1e-77.json")
    assert named(command, {"JPY_PARENT_PID": "5"}) == [("jupyter", "0c9b9d1e")]


@pytest.mark.parametrize(
    ("command", "environ", "expected"),
    [
        (("VLLM::Worker_TP0",), {}, ("vllm", "Worker_TP0")),
        (("sglang::scheduler",), {}, ("sglang", "scheduler")),
        (("ray::train",), {"RAY_JOB_ID": "01"}, ("ray", "train")),
        (("python",), {"RAY_JOB_ID": "01"}, ("ray", "worker")),
        (
            ("a.out",),
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"},
            ("mpi", "rank 1/4"),
        ),
        (("python",), {"SLURM_JOB_ID": "42"}, ("slurm", "42")),
    ],
)
def test_other_launchers_are_known_by_title_or_environment(command, environ, expected):
    assert named(command, environ) == [expected]


def test_a_rank_in_a_job_in_a_container_names_all_three_the_nearest_first():
    environ = {"TORCHELASTIC_RUN_ID": "r", "RANK": "0", "WORLD_SIZE": "2", "SLURM_JOB_ID": "42"}
    found = named(("python",), environ, f"0::/system.slice/docker-{ID}.scope\n")
    assert found == [("torchrun", "rank 0/2"), ("slurm", "42"), ("container", ID[:12])]


def test_a_job_is_known_by_its_control_group_too():
    group = "0::/system.slice/slurmstepd.scope/job_981/step_0/user/task_0\n"
    assert named(cgroup=group) == [("slurm", "981")]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("0::/system.slice/trainer.service\n", [("systemd", "trainer.service")]),
        ("0::/system.slice/ssh.service\n", []),
        ("0::/system.slice/docker.service\n", []),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/serve.service\n",
            [("systemd", "serve.service")],
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u12.scope\n",
            [("systemd", "run-u12.scope")],
        ),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/tmux-spawn-1.scope\n", []),
    ],
)
def test_only_a_unit_of_its_own_is_named(group, expected):
    assert named(cgroup=group) == expected


@pytest.fixture
def child():
    started: list[subprocess.Popen] = []

    def start(*prefix: str, **env: str) -> subprocess.Popen:
        command = [*prefix, sys.executable, "-c", SLEEP]
        made = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
        )
        started.append(made)
        if made.stdout.readline() != "ready\n":
            pytest.skip(f"{prefix} does not work here")
        return made

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


def test_a_real_process_is_read(child):
    made = child(TORCHELASTIC_RUN_ID="none", RANK="1", WORLD_SIZE="2")
    found = origin(made.pid, ("python",))
    assert found.launchers[0].name == "rank 1/2"
    assert found.pid_in_container is None


def test_a_real_process_in_a_namespace_of_its_own_has_a_second_pid(child):
    made = child("unshare", "--pid", "--fork", "--kill-child")
    children = (
        open(f"/proc/{made.pid}/task/{made.pid}/children").read().split()  # noqa: SIM115
    )
    assert origin(int(children[0]), ()).pid_in_container == 1


def test_a_process_that_is_gone_has_no_origin():
    found = origin(4_194_303, ())
    assert found.launchers == ()
    assert found.pid_in_container is None


def test_ancestors_come_nearest_first_and_end_below_the_first_process(child):
    chain = ancestors(child().pid)
    assert chain[0].pid == os.getpid()
    assert chain[0].command
    assert all(one.pid > 1 for one in chain)

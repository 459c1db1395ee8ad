"""What can be had from a running process, and the reasons why not: on a made-up /proc and on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.profile.reach import Reach, children, reach, runs

TORCH = "/venv/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so"
MAPS = f"7f00-7f01 r-xp 0 08:01 5 {TORCH}\n7f02-7f03 r-xp 0 08:01 6 /usr/lib/libpython3.11.so.1.0\n"


def machine(
    root: Path, *, maps: str = MAPS, environ: str = "", scope: int = 0, rights: int = 0
) -> Path:
    """A /proc with ourselves and process 77, which is of the same user."""
    for name in ("self", "77"):
        (root / name / "ns").mkdir(parents=True)
        for kind in ("mnt", "net", "pid"):
            (root / name / "ns" / kind).symlink_to(f"{kind}:[1]")
    (root / "self/status").write_text(f"Name:\tx\nCapEff:\t{rights:016x}\n")
    job = root / "77"
    (job / "cmdline").write_bytes(b"python\0train.py\0")
    (job / "environ").write_text(environ.replace(" ", "\0"))
    (job / "maps").write_text(maps)
    (job / "exe").symlink_to("/usr/bin/python3.11")
    (job / "cwd").symlink_to("/home/me")
    version = job / "root" / Path(TORCH).parents[1].relative_to("/") / "version.py"
    version.parent.mkdir(parents=True)
    version.write_text("__version__ = '2.13.0+cu130'\n")
    (root / "sys/kernel/yama").mkdir(parents=True)
    (root / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    return root


def test_a_job_that_was_started_for_it_gives_everything(tmp_path):
    way = reach(77, machine(tmp_path, environ="A=1 KINETO_USE_DAEMON=1"))
    assert (way.no_stacks, way.no_operators, way.may_enter) == (None, None, True)
    assert (way.program, way.cwd) == (("python", "train.py"), "/home/me")
    assert (way.python_version, way.torch_version) == ("3.11", "2.13.0+cu130")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"maps": ""}, "has not loaded torch"),
        ({"environ": "A=1"}, "not started with KINETO_USE_DAEMON=1"),
        ({"environ": f"KINETO_USE_DAEMON=1 KINETO_IPC_SOCKET_DIR=/{'x' * 54}"}, "longer than 54"),
    ],
)
def test_operators_that_cannot_be_had_are_explained(tmp_path, changes, reason):
    way = reach(77, machine(tmp_path, **changes))
    assert way.no_operators is not None
    assert reason in way.no_operators
    assert way.no_stacks is None


def test_a_pipe_in_the_place_of_torchs_version_is_not_waited_for(tmp_path):
    root = machine(tmp_path)
    version = root / "77/root" / Path(TORCH).parents[1].relative_to("/") / "version.py"
    version.unlink()
    os.mkfifo(version)
    assert reach(77, root).torch_version is None


def test_a_job_in_another_container_gives_no_operators_and_is_not_entered(tmp_path):
    root = machine(tmp_path, environ="KINETO_USE_DAEMON=1")
    (root / "77/ns/mnt").unlink()
    (root / "77/ns/mnt").symlink_to("mnt:[2]")
    way = reach(77, root)
    assert "its mnt namespace is not ours" in str(way.no_operators)
    assert not way.may_enter


def test_yama_forbids_the_stacks_of_a_job_that_is_not_ours_to_trace(tmp_path):
    way = reach(77, machine(tmp_path, scope=1))
    assert "ptrace_scope is 1" in str(way.no_stacks)


def test_the_right_to_trace_stands_above_yama(tmp_path):
    assert reach(77, machine(tmp_path, scope=1, rights=1 << 19)).no_stacks is None


def test_a_program_that_is_not_python_has_no_stacks(tmp_path):
    root = machine(tmp_path, maps="")
    (root / "77/exe").unlink()
    (root / "77/exe").symlink_to("/usr/bin/sleep")
    assert reach(77, root).no_stacks == "it is not a Python process"


@pytest.fixture
def parent():
    code = "import subprocess; subprocess.run(['sleep', '20'])"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    yield child
    os.killpg(child.pid, 9)
    child.wait()


def test_ourselves_can_be_read(parent):
    way = reach(os.getpid())
    assert isinstance(way, Reach)
    assert way.python_version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert parent.pid in children(os.getpid())


def test_a_process_that_waits_to_be_noticed_does_not_run():
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert not runs(ended.pid)
    with pytest.raises(GpuDoctorError, match="has no program"):
        reach(ended.pid)
    ended.wait()
    with pytest.raises(GpuDoctorError, match="no process"):
        reach(ended.pid)

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.interpreter import environ_of, find, stranger


def make_python(folder: Path, name: str = "python") -> str:
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    path = folder / "bin" / name
    path.symlink_to(sys.executable)
    return str(path)


def test_the_named_interpreter_is_taken_and_not_resolved(tmp_path):
    path = make_python(tmp_path)
    target = find(python=path, environ={"PATH": ""})
    assert target.executable == path
    assert target.chosen == f"--python {path}"


def test_a_virtual_environments_folder_stands_for_its_python(tmp_path):
    path = make_python(tmp_path / "venv")
    assert find(python=str(tmp_path / "venv"), environ={}).executable == path


def test_an_interpreter_that_does_not_exist_is_an_error_with_a_hint():
    with pytest.raises(GpuDoctorError, match="there is no interpreter"):
        find(python="/nonexistent/python", environ={})


def test_the_active_environment_comes_before_the_path(tmp_path):
    venv, conda, other = (make_python(tmp_path / name) for name in ("venv", "conda", "other"))
    make_python(tmp_path / "other", "python3")
    environ = {"PATH": str(tmp_path / "other" / "bin")}
    assert find(environ=environ, own_torch=False).executable == other + "3"
    environ["CONDA_PREFIX"] = str(tmp_path / "conda")
    assert find(environ=environ).executable == conda
    environ["VIRTUAL_ENV"] = str(tmp_path / "venv")
    assert find(environ=environ).executable == venv


def test_a_stale_virtual_env_variable_is_passed_over(tmp_path):
    environ = {"VIRTUAL_ENV": str(tmp_path / "gone"), "PATH": str(tmp_path)}
    target = find(environ=environ, own_torch=False)
    assert target.executable == sys.executable
    assert "no python on PATH" in target.chosen


def test_our_own_interpreter_comes_before_the_path_where_torch_is_beside_us(tmp_path):
    make_python(tmp_path, "python3")
    environ = {"PATH": str(tmp_path / "bin")}
    assert find(environ=environ, own_torch=True).executable == sys.executable
    assert find(environ=environ, own_torch=False).executable != sys.executable


@pytest.fixture
def running(tmp_path):
    """A process in a virtual environment, called by a relative name."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    code = "import sys, time; print(sys.prefix, flush=True); time.sleep(60)"
    with subprocess.Popen(
        ["venv/bin/python", "-c", code],
        cwd=tmp_path,
        env={"MARK": "a=b", "PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == str(venv)
        yield child.pid, venv
        child.kill()


def test_a_process_leads_to_its_virtual_environment_and_variables(running):
    pid, venv = running
    target = find(pid=pid)
    assert target.executable == str(venv / "bin" / "python")
    assert target.environ["MARK"] == "a=b"
    assert target.cwd == str(venv.parent)


def test_a_process_called_by_its_bare_name_is_found_on_its_path(tmp_path):
    path = make_python(tmp_path)
    with subprocess.Popen(
        ["python", "-c", "import time; print(1, flush=True); time.sleep(60)"],
        executable=path,
        env={"PATH": f"/nonexistent:{tmp_path}/bin"},
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        assert find(pid=child.pid).executable == path
        child.kill()


def test_a_process_that_is_no_python_is_refused():
    with subprocess.Popen(["sleep", "60"]) as child:
        with pytest.raises(GpuDoctorError, match="is no Python interpreter"):
            find(pid=child.pid)
        child.kill()


def test_a_process_that_is_gone_is_refused():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(GpuDoctorError, match=f"there is no process {child.pid}"):
        find(pid=child.pid)


def process_tree(root: Path, pid: str, namespace: str) -> None:
    folder = root / "proc" / pid
    (folder / "ns").mkdir(parents=True)
    (folder / "ns" / "mnt").symlink_to(namespace)
    (folder / "exe").symlink_to("/usr/bin/python3.11")
    (folder / "cwd").symlink_to("/")
    (folder / "cmdline").write_bytes(b"python3\0train.py\0")
    (folder / "environ").write_bytes(b"A=1\0B=x=y\0broken\0\0")


def test_a_process_of_another_container_is_refused(tmp_path):
    process_tree(tmp_path, "self", "mnt:[1]")
    process_tree(tmp_path, "77", "mnt:[2]")
    with pytest.raises(GpuDoctorError, match="runs in a container of its own") as caught:
        find(pid=77, root=tmp_path)
    assert "inside that container" in (caught.value.hint or "")
    assert "gpudoctor visible --pid 77" in (caught.value.hint or "")
    (tmp_path / "proc/77/cgroup").write_text(f"0::/system.slice/docker-{'3f' * 32}.scope\n")
    with pytest.raises(GpuDoctorError) as named:
        find(pid=77, root=tmp_path)
    assert "docker exec 3f3f3f3f3f3f gpudoctor env" in (named.value.hint or "")


def test_a_process_that_may_not_be_read_says_who_could():
    error = PermissionError(13, "Permission denied", "/proc/77/exe")
    from gpudoctor.host.interpreter import unreadable

    block = unreadable(77, error).block()
    assert "cause: Permission denied: /proc/77/exe" in block
    assert "as root" in block


def test_the_environment_keeps_equal_signs_and_drops_what_is_no_variable(tmp_path):
    process_tree(tmp_path, "77", "mnt:[1]")
    assert environ_of(77, tmp_path) == {"A": "1", "B": "x=y"}


def test_python_and_pid_exclude_each_other():
    with pytest.raises(GpuDoctorError, match="exclude each other"):
        find(python="python3", pid=os.getpid())


NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def anothers():
    """A Python process of another user. Its folder in /proc is root's, as it gave its rights up itself."""
    code = f"import os, time; os.setresuid({NOBODY}, {NOBODY}, {NOBODY}); print(1, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(60)"],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


@as_root
def test_the_interpreter_of_another_user_is_not_run_with_our_rights(anothers):
    assert stranger(anothers) == NOBODY
    with pytest.raises(GpuDoctorError, match=r"belongs to another user \(uid 65534\)") as caught:
        find(pid=anothers)
    assert f"sudo -u '#65534' gpudoctor env --pid {anothers}" in (caught.value.hint or "")


def test_a_process_with_any_right_of_another_user_is_a_strangers(tmp_path):
    us = os.geteuid()
    folder = tmp_path / "proc" / "77"
    folder.mkdir(parents=True)
    for line, whose in (
        (f"Uid:\t{us}\t{us}\t{us}\t{us}", None),
        (f"Uid:\t{us}\t{us}\t1234\t{us}", 1234),
        ("Name:\tpython", -1),
    ):
        (folder / "status").write_text(f"Name:\tx\n{line}\nGid:\t0\t0\t0\t0\n")
        assert stranger(77, tmp_path) == whose

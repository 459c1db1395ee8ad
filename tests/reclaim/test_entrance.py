from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.reclaim.entrance import entrance
from tests.reclaim.children import state_of, until
from tests.reclaim.targets import TOO_OLD, WAITS, started


def refusal(pid: int) -> str:
    with pytest.raises(GpuDoctorError, match="cannot be entered") as caught:
        entrance(pid)
    assert caught.value.cause is not None
    return caught.value.cause


def test_a_stopped_process_is_refused(children):
    pid = started(children, WAITS["sleeps"])
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid) == "T")
    assert "stopped" in refusal(pid)


def test_a_program_that_is_no_python_is_refused(children):
    pid = children.run(["sh", "-c", "echo ready; sleep 60; true"])
    assert "no CPython" in refusal(pid)


def test_a_process_that_ignores_sigsegv_is_refused(children):
    code = "import signal, time\nsignal.signal(signal.SIGSEGV, signal.SIG_IGN)\ntime.sleep(60)"
    pid = started(children, code)
    time.sleep(0.1)
    assert "SIGSEGV" in refusal(pid)


@pytest.mark.parametrize("python", TOO_OLD)
def test_an_older_python_is_refused(children, python):
    assert "tested are 3.9" in refusal(started(children, WAITS["sleeps"], python))


def fake_proc(folder: Path, *, uid: int, scope: int | None, capable: bool = False) -> Path:
    for pid in ("7", "self"):
        (folder / pid).mkdir(parents=True)
        caps = f"{(1 << 19) if capable else 0:016x}"
        owner = uid if pid == "7" else os.getuid()
        text = f"Uid:\t{owner}\t{owner}\nCapEff:\t{caps}\nTracerPid:\t0\nSigIgn:\t0\n"
        (folder / pid / "status").write_text(text)
    fields = " ".join(["S", "1", "7", "7", *["0"] * 40])
    (folder / "7/stat").write_text(f"7 (python) {fields}")
    if scope is not None:
        (folder / "sys/kernel/yama").mkdir(parents=True)
        (folder / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    return folder


@pytest.mark.parametrize(
    ("scope", "capable", "words"),
    [
        (1, False, "ptrace_scope is 1: only a parent"),
        (2, False, "ptrace_scope is 2: only root"),
        (3, True, "nobody may"),
    ],
)
def test_ptrace_scope_is_read_and_named(tmp_path, scope, capable, words):
    root = fake_proc(tmp_path, uid=os.getuid(), scope=scope, capable=capable)
    with pytest.raises(GpuDoctorError) as caught:
        entrance(7, root=root)
    assert words in (caught.value.cause or "")


def test_another_user_s_process_is_refused_with_what_to_do(tmp_path):
    root = fake_proc(tmp_path, uid=54_321, scope=None)
    with pytest.raises(GpuDoctorError, match="cannot be entered") as caught:
        entrance(7, root=root)
    assert "54321" in (caught.value.cause or "")
    assert "sudo gpudoctor empty-cache 7" in (caught.value.hint or "")


def test_the_command_prints_one_object_and_exits_1_when_nothing_was_emptied(children):
    pid = started(children, WAITS["sleeps"])
    command = [sys.executable, "-m", "gpudoctor", "empty-cache", str(pid), "--yes", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["schema"] == "gpudoctor.empty-cache/1"
    assert told["status"] == "nothing"


AS_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="changes users"
)


def empty_cache_as(before: list[str], pid: int) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "gpudoctor", "empty-cache", str(pid), "--yes"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def public_python() -> str:
    """A python that another user may run."""
    python = next(
        (one for one in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(one).exists()), None
    )
    if python is None:
        pytest.skip("no python that another user may run")
    return python


@needs_root
@pytest.mark.integration
def test_root_enters_another_user_s_process(children):
    pid = children.run(
        [*AS_NOBODY, public_python(), "-u", "-c", f"print('ready')\n{WAITS['sleeps']}"]
    )
    done = empty_cache_as([], pid)
    assert "torch is not loaded there" in done.stdout, done.stderr


@needs_root
@pytest.mark.integration
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_root_enters_a_process_in_namespaces_of_its_own(children):
    code = f"print('ready', flush=True)\n{WAITS['sleeps']}"
    outer = children.run(
        ["unshare", "--pid", "--mount", "--fork", "--mount-proc", public_python(), "-c", code]
    )
    inner = int(Path(f"/proc/{outer}/task/{outer}/children").read_text())
    children.adopt(inner)
    done = empty_cache_as([], inner)
    assert "torch is not loaded there" in done.stdout, done.stderr

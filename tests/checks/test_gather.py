"""Gathering: everything at once, each part with a limit."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from gpudoctor.checks import gather as gathering
from gpudoctor.checks.gather import Wanted, ask_smi, gather
from gpudoctor.errors import GpuDoctorError
from gpudoctor.nvml.api import NvmlUnavailableError
from tests.builders import snapshot


def wanted(look=snapshot, **changes) -> Wanted:
    environ = changes.pop("environ", {"PATH": "/nowhere"})
    return Wanted(look, None, environ, **changes)


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return {"PATH": str(folder)}


def test_what_answers_is_there_and_what_does_not_is_named(tmp_path):
    ctx = gather(wanted(root=tmp_path))
    assert ctx.snapshot == snapshot()
    assert ctx.nvml_failure is None
    assert ctx.machine is not None
    assert ctx.system is not None
    assert ctx.kernel_log is None
    assert ctx.probe is None


def test_a_driver_that_does_not_return_is_left_behind(tmp_path):
    release = threading.Event()
    begun = time.monotonic()
    ctx = gather(wanted(release.wait, root=tmp_path), limit_s=0.5)
    release.set()
    assert time.monotonic() - begun < 2
    assert ctx.snapshot is None
    assert ctx.nvml_failure.message == "the NVIDIA driver does not answer"
    assert ctx.machine is not None


def test_a_driver_that_refuses_says_why(tmp_path):
    def look():
        raise NvmlUnavailableError("no", cause="because", code=18)

    ctx = gather(wanted(look, root=tmp_path))
    assert (ctx.nvml_failure.code, ctx.nvml_failure.cause) == (18, "because")
    assert ctx.missing["snapshot"] == "no"


def test_a_recording_that_cannot_be_read_is_an_error(tmp_path):
    def look():
        raise GpuDoctorError("cut off")

    with pytest.raises(GpuDoctorError, match="cut off"):
        gather(wanted(look, root=tmp_path))


def test_a_look_that_crashes_is_not_called_a_hang(tmp_path):
    def look():
        raise RuntimeError("odd driver")

    ctx = gather(wanted(look, root=tmp_path))
    assert ctx.nvml_failure.message == "the NVIDIA driver could not be asked"
    assert "odd driver" in ctx.nvml_failure.cause


def test_a_part_that_fails_does_not_take_the_others(tmp_path, monkeypatch):
    def broken(root):
        raise RuntimeError("odd sysfs")

    monkeypatch.setattr(gathering, "read_machine", broken)
    ctx = gather(wanted(root=tmp_path))
    assert ctx.machine is None
    assert "odd sysfs" in ctx.missing["machine"]
    assert ctx.system is not None


def test_a_recording_is_not_explained_by_this_machine(tmp_path):
    ctx = gather(wanted(local=False, root=tmp_path))
    assert ctx.snapshot is not None
    assert ctx.machine is ctx.system is ctx.toolkit is None


def test_nvidia_smi_that_hangs_is_stopped(tmp_path):
    environ = program(tmp_path, "nvidia-smi", "import time; time.sleep(60)")
    begun = time.monotonic()
    tool = ask_smi(environ, limit_s=0.5)
    assert time.monotonic() - begun < 3
    assert "no answer" in tool.error


def test_nvidia_smi_that_fails_is_quoted(tmp_path):
    environ = program(tmp_path, "nvidia-smi", "print('Failed to initialize NVML'); exit(9)")
    assert ask_smi(environ).error == "exit code 9: Failed to initialize NVML"


def test_no_nvidia_smi_is_no_error():
    tool = ask_smi({"PATH": "/nowhere"})
    assert tool.path is None
    assert tool.error is None

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.host.interpreter import Target
from gpudoctor.host.probe import run
from gpudoctor.model.probe import ProbeOutcome

VERSIONS = ("3.9", "3.10", "3.12", "3.13")
# The least that a torch must be to be asked; what is missing must become None, not a failure.
BARE = "__version__ = '1.0'\nclass version: cuda = None\n"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """An interpreter without torch."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def test_an_interpreter_without_torch_is_an_outcome_with_the_facts_of_python(bare_python):
    probe = run(Target(bare_python, "a test", {}))
    assert probe.outcome is ProbeOutcome.NO_TORCH
    assert probe.error == "ModuleNotFoundError: No module named 'torch'"
    assert probe.python is not None
    assert probe.python.virtual_env == os.path.dirname(os.path.dirname(bare_python))
    assert probe.torch is None
    assert probe.driver is not None


def other_python(version):
    """A real interpreter before one on PATH, which may be a wrapper that needs its own variables."""
    found = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    return next(map(str, sorted(found)), shutil.which(f"python{version}"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_probe_runs_under_every_python_that_torch_has(version):
    python = other_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    probe = run(Target(python, "a test", {}))
    assert probe.outcome is ProbeOutcome.NO_TORCH
    assert probe.python is not None
    assert probe.python.version.startswith(version + ".")
    assert probe.failures == {}


def test_a_torch_that_fails_to_import_is_told_with_its_text(with_torch):
    source = "raise ImportError('libcudnn.so.9: cannot open shared object file')"
    probe = run(with_torch(source))
    assert probe.outcome is ProbeOutcome.IMPORT_FAILED
    assert probe.error == "ImportError: libcudnn.so.9: cannot open shared object file"
    assert probe.python is not None


def test_a_module_that_torch_misses_is_a_failed_import_and_not_a_missing_torch(with_torch):
    probe = run(with_torch("import typing_extensionz"))
    assert probe.outcome is ProbeOutcome.IMPORT_FAILED
    assert "typing_extensionz" in (probe.error or "")


def test_a_folder_named_torch_is_no_torch(tmp_path):
    (tmp_path / "torch").mkdir()
    environ = {"PYTHONPATH": str(tmp_path)}
    base = os.path.realpath(sys.executable)
    probe = run(Target(base, "a test", environ))
    assert probe.outcome is ProbeOutcome.IMPORT_FAILED
    assert "no __version__" in (probe.error or "")


def test_an_import_that_never_returns_is_ended_and_keeps_what_was_said(with_torch, tmp_path):
    mark = tmp_path / "child"
    source = (
        "import subprocess, time\n"
        f"child = subprocess.Popen(['sleep', '600']); open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    begun = time.monotonic()
    probe = run(with_torch(source), timeout_s=1.5)
    assert time.monotonic() - begun < 4
    assert probe.outcome is ProbeOutcome.TIMED_OUT
    assert probe.error == "no answer within 1.5 s (it was at: import torch)"
    assert probe.python is not None
    assert probe.packages
    grandchild = Path(f"/proc/{mark.read_text()}/stat")
    for _ in range(50):
        if not grandchild.exists() or " Z " in grandchild.read_text():
            return
        time.sleep(0.05)
    pytest.fail("the probe's child outlived it")


def test_an_import_that_kills_the_interpreter_is_a_crash_with_the_signal(with_torch):
    source = "import os, signal, sys; sys.stderr.write('bad instruction'); sys.stderr.flush()\n"
    probe = run(with_torch(source + "os.kill(os.getpid(), signal.SIGILL)"))
    assert probe.outcome is ProbeOutcome.CRASHED
    assert probe.signal == "SIGILL"
    assert probe.error == "killed by SIGILL while at: import torch\nbad instruction"
    assert probe.python is not None


def test_an_import_that_exits_is_a_failed_import(with_torch):
    probe = run(with_torch("import sys; sys.exit(7)"))
    assert probe.outcome is ProbeOutcome.IMPORT_FAILED
    assert probe.error == "SystemExit: 7"


def test_noise_on_stdout_does_not_hide_the_answers(with_torch):
    noise = (
        "import sys; sys.stdout.write('x' * 100000 + '{\"torch\": 3}\\n@gpudoctor-probe {oops')\n"
    )
    probe = run(with_torch(noise + BARE))
    assert probe.outcome is ProbeOutcome.OK
    assert probe.torch is not None
    assert probe.torch.version == "1.0"
    assert probe.torch.kind == "cpu"


def test_a_torch_that_lacks_everything_loses_only_what_it_lacks(with_torch):
    probe = run(with_torch(BARE))
    assert probe.outcome is ProbeOutcome.OK
    assert probe.switches == {}
    assert probe.cuda is None
    assert list(probe.failures) == ["cuda"]


def test_a_switch_that_an_old_torch_asserts_it_does_not_know_is_left_out(with_torch):
    old = """
class Settings:
    allow_tf32 = False
    def __getattr__(self, name):
        raise AssertionError("Unknown attribute " + name)
class backends:
    class cuda:
        matmul = Settings()
"""
    probe = run(with_torch(BARE + old))
    assert probe.switches == {"torch.backends.cuda.matmul.allow_tf32": "False"}
    assert list(probe.failures) == ["cuda"]


def test_a_program_that_is_no_python_is_a_crash_and_a_missing_one_is_not_started():
    assert run(Target("/bin/false", "a test", {})).outcome is ProbeOutcome.CRASHED
    probe = run(Target("/nonexistent/python", "a test", {}))
    assert probe.outcome is ProbeOutcome.NOT_STARTED
    assert "No such file" in (probe.error or "")


def test_the_neighbours_of_the_probe_shadow_no_module_of_the_target(with_torch):
    source = BARE + "import importlib.util\nassert importlib.util.find_spec('containers') is None\n"
    assert run(with_torch(source)).outcome is ProbeOutcome.OK


def test_the_driver_is_asked_for_its_devices_in_cudas_order(bare_python, fake_libcuda):
    environ = {"LD_LIBRARY_PATH": str(fake_libcuda)}
    driver = run(Target(bare_python, "a test", environ), what="devices").driver
    assert driver is not None
    assert (driver.code, driver.name, driver.driver_version) == (0, None, (13, 0))
    assert driver.library == str(fake_libcuda / "libcuda.so.1")
    assert [row.ordinal for row in driver.devices] == [0, 1]
    assert driver.devices[1].uuid == "GPU-a1a1a1a1-a1a1-a1a1-a1a1-a1a1a1a1a1a1"
    assert driver.devices[1].pci_bus_id == "0000:11:00.0"
    assert driver.devices[1].compute_capability == (9, 0)
    assert driver.devices[1].memory_total_bytes == 1 << 34


def test_a_mig_instance_is_named_by_its_own_uuid(bare_python, fake_libcuda):
    environ = {"LD_LIBRARY_PATH": str(fake_libcuda), "FAKE_MIG": "1", "FAKE_DEVICES": "1"}
    driver = run(Target(bare_python, "a test", environ), what="devices").driver
    assert driver is not None
    assert [row.uuid for row in driver.devices] == ["MIG-b0b0b0b0-b0b0-b0b0-b0b0-b0b0b0b0b0b0"]


def test_the_code_of_cuinit_is_told_with_its_name(bare_python, fake_libcuda):
    environ = {"LD_LIBRARY_PATH": str(fake_libcuda), "FAKE_CUINIT": "100"}
    driver = run(Target(bare_python, "a test", environ)).driver
    assert driver is not None
    assert (driver.code, driver.name, driver.devices) == (100, "CUDA_ERROR_NO_DEVICE", ())


def test_a_cuinit_that_hangs_is_told_as_the_question_it_was_at(bare_python, fake_libcuda):
    environ = {"LD_LIBRARY_PATH": str(fake_libcuda), "FAKE_HANG": "1"}
    probe = run(Target(bare_python, "a test", environ), timeout_s=1.0)
    assert probe.outcome is ProbeOutcome.TIMED_OUT
    assert "it was at: driver" in (probe.error or "")

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from gpudoctor.cli.main import run
from gpudoctor.model.environment import EnvironmentReport


def env(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environ, **changes},
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A virtual environment without torch."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_json_is_one_object_that_the_schema_describes(bare):
    done = env("--demo", "env", "--json", "--python", str(bare))
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body.pop("schema") == "gpudoctor.env/1"
    assert body.pop("generated_at")
    report = msgspec.convert(body, EnvironmentReport)
    assert report.probe.outcome == "no_torch"
    assert len(report.driver.gpus) == 8
    assert report.driver.source == "demo"


def test_a_machine_without_a_driver_is_reported_with_success(bare, tmp_path):
    # The loader stops at a file that is no library, so no driver is found wherever this runs.
    (tmp_path / "libnvidia-ml.so.1").write_text("")
    done = env("env", "--json", "--python", str(bare), LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    driver = json.loads(done.stdout)["driver"]
    assert driver["gpus"] == []
    assert driver["nvml_error"]
    assert driver["nvml_driver_version"] is None


def test_the_drivers_facts_come_through_the_real_binding(bare, nvml_sim):
    done = env("env", "--json", "--python", str(bare), **nvml_sim.env)
    assert done.returncode == 0, done.stderr
    driver = json.loads(done.stdout)["driver"]
    assert driver["source"] == "nvml"
    assert driver["nvml_error"] is None
    wanted = [gpu.uuid for gpu in nvml_sim.machine.gpus]
    assert [gpu["facts"]["uuid"] for gpu in driver["gpus"]] == wanted


def test_an_interpreter_without_torch_is_said_in_the_first_lines(bare):
    done = env("--demo", "env", "--python", str(bare))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["PyTorch", "  Torch  torch is not installed"]
    assert "SIMULATED" in done.stderr
    assert "Simulated" in done.stdout


def test_the_active_virtual_environment_is_asked(bare):
    done = env("--demo", "env", "--json", VIRTUAL_ENV=str(bare))
    probe = json.loads(done.stdout)["probe"]
    assert probe["executable"] == str(bare / "bin" / "python")
    assert probe["chosen"] == f"VIRTUAL_ENV={bare}"


def test_a_running_process_is_asked_in_its_own_environment(bare):
    code = "import time; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [str(bare / "bin" / "python"), "-c", code],
        env={"CUDA_VISIBLE_DEVICES": "3"},
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        done = env("--demo", "env", "--json", "--pid", str(child.pid))
        child.kill()
    body = json.loads(done.stdout)
    assert body["variables"] == {"CUDA_VISIBLE_DEVICES": "3"}
    assert body["probe"]["python"]["virtual_env"] == str(bare)


def test_markdown_names_neither_the_home_nor_the_user(bare, tmp_path):
    home = tmp_path / "home" / "marvin"
    home.mkdir(parents=True)
    changes = {"HOME": str(home), "USER": "marvin", "TORCH_HOME": f"{home}/cache"}
    done = env("--demo", "env", "--markdown", "--python", str(bare), **changes)
    assert done.returncode == 0, done.stderr
    assert "marvin" not in done.stdout
    assert "TORCH_HOME: ~/cache" in done.stdout


def test_the_time_limit_is_kept(tmp_path, bare):
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("import time; time.sleep(60)")
    done = env(
        "--demo", "env", "--json", "--python", str(bare), "--timeout", "1", PYTHONPATH=str(tmp_path)
    )
    probe = json.loads(done.stdout)["probe"]
    assert probe["outcome"] == "timed_out"
    assert probe["duration_seconds"] < 5


def test_an_interrupt_ends_a_hung_import_at_once_with_its_child(tmp_path, bare):
    package = tmp_path / "torch"
    package.mkdir()
    mark = tmp_path / "pid"
    (package / "__init__.py").write_text(
        f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "gpudoctor", "--demo", "env", "--python", str(bare)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"},
        stderr=subprocess.PIPE,
    ) as running:
        while not mark.exists() or not mark.read_text():
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        assert running.wait(5) == 130
    assert not os.path.exists(f"/proc/{mark.read_text()}")


@pytest.mark.parametrize(
    "words",
    [
        ("--markdown", "--json"),
        ("--python", "/nonexistent/python"),
        ("--pid", "0"),
        ("--timeout", "-1"),
        ("--python", "python3", "--pid", "1"),
    ],
)
def test_a_wrong_call_is_a_usage_error(words):
    done = env("--demo", "env", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_json_needs_neither_torch_nor_rich_nor_psutil_in_gpudoctors_own_process(bare):
    code = (
        "import sys; from gpudoctor.cli.main import run\n"
        f"run(['--demo', 'env', '--json', '--python', {str(bare)!r}])\n"
        "print([name for name in ('torch', 'rich', 'psutil') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_process_of_the_demo_has_no_interpreter(capsys):
    assert run(["--demo", "env", "--pid", "41200"]) == 2
    told = capsys.readouterr().err
    assert "process 41200 is made up" in told
    assert "gpudoctor --demo visible --pid 41200" in told

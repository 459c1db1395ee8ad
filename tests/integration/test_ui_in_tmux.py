"""The installed program in a real terminal, on the demo and on the simulated driver."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.cli.serving import serving
from tests.integration.terminal import GPUDOCTOR, Terminal
from tests.nvml_sim.presets import FIRST_PID, eight_h100

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.setenv("GPUDOCTOR_CONFIG", os.devnull)
    monkeypatch.delenv("NO_COLOR", raising=False)


def row_of(text: str, gpu: int) -> str:
    """The line of a GPU in the table."""
    found = re.search(rf"^\s*{gpu} H100.*$", text, re.MULTILINE)
    return found.group() if found else ""


def test_the_demo_opens_answers_keys_and_leaves_the_terminal_as_it_was():
    with Terminal(GPUDOCTOR, "--demo") as terminal:
        terminal.wait("sweep.py")
        assert "SIMULATED" in terminal.lines()[0]
        terminal.type("?")
        terminal.wait("Sort by GPU memory")
        terminal.type("Escape")
        terminal.wait(lambda text: "Sort by GPU memory" not in text)
        terminal.type("/", "sweep")
        terminal.wait(lambda text: "sweep.py" in text and "train.py" not in text)
        terminal.type("Escape")
        terminal.wait("train.py")
        terminal.type("q")
        terminal.wait("left-with-0")
        assert "SIMULATED" not in terminal.text()


def test_ctrl_c_ends_it():
    with Terminal(GPUDOCTOR, "--demo") as terminal:
        terminal.wait("sweep.py")
        terminal.type("C-c")
        terminal.wait("left-with-0")


def test_it_follows_the_size_of_the_terminal():
    with Terminal(GPUDOCTOR, "--demo", width=80, height=24) as terminal:
        terminal.wait("sweep.py")
        assert "TENSOR" not in terminal.text()
        terminal.resize(200, 50)
        terminal.wait("TENSOR")
        terminal.resize(80, 24)
        terminal.wait(lambda text: "TENSOR" not in text and "sweep.py" in text)


@pytest.mark.parametrize("colours", ["TERM=linux", "NO_COLOR=1"])
def test_few_colours_or_none_and_a_tiny_terminal_are_enough(colours):
    program = ("env", "-u", "COLORTERM", colours, GPUDOCTOR, "--demo")
    with Terminal(*program, width=40, height=10) as terminal:
        terminal.wait("44871")
        assert "SIMULATED" in terminal.lines()[0]
        terminal.type("?")
        terminal.wait("Page up")
        terminal.type("Escape")
        # Whatever comes right behind an Escape would be taken for the rest of a key's sequence.
        terminal.wait(lambda text: "Page up" not in text)
        terminal.resize(300, 100)
        terminal.wait("TENSOR")
        colours_used = set(re.findall(r"[34]8;[25];([\d;]+)m", terminal.coloured()))
        if colours == "NO_COLOR=1":
            greys = {tone for tone in colours_used if int(tone) >= 231 or int(tone) in (15, 16)}
            assert colours_used == greys
        else:
            assert not colours_used, "only the sixteen colours of the terminal"
        terminal.type("q")
        terminal.wait("left-with-0")


def test_once_prints_a_frame_on_the_terminal_and_leaves():
    with Terminal(GPUDOCTOR, "--demo", "--once", width=120, height=40) as terminal:
        terminal.wait("left-with-0")
        assert "sweep.py" in terminal.text()
        assert all(len(line) <= 120 for line in terminal.lines())


@pytest.mark.parametrize("how", ["option", "locale"])
def test_a_terminal_without_unicode_is_drawn_in_ascii(how):
    env = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    words = (GPUDOCTOR, "--demo", "--ascii") if how == "option" else (GPUDOCTOR, "--demo")
    with Terminal(*words, env=env if how == "locale" else None) as terminal:
        terminal.wait("sweep.py")
        assert terminal.text().isascii()


def test_it_is_painted_on_the_terminal_even_where_stderr_goes_to_a_file(tmp_path):
    with Terminal(GPUDOCTOR, "--demo", f"2>{tmp_path / 'errors'}") as terminal:
        terminal.wait("sweep.py")
        terminal.type("q")
        terminal.wait("left-with-0")
    assert (tmp_path / "errors").read_text() == ""


def test_a_mistaken_theme_is_told_before_the_screen_is_taken(tmp_path):
    settings = tmp_path / "config.toml"
    settings.write_text('[tui]\ntheme = "drak"\n')
    with Terminal(GPUDOCTOR, "--demo", "--config", str(settings)) as terminal:
        terminal.wait("left-with-2")
        assert "Did you mean dark?" in terminal.text()


def test_temperatures_are_shown_in_the_unit_of_the_settings(tmp_path):
    settings = tmp_path / "config.toml"
    settings.write_text('[tui]\ntemperature = "fahrenheit"\n')
    with Terminal(GPUDOCTOR, "--demo", "--config", str(settings)) as terminal:
        terminal.wait("°F")
        assert "°C" not in terminal.text()


def test_the_driver_is_shown_and_not_marked_as_simulated(nvml_sim):
    with Terminal(GPUDOCTOR, env=nvml_sim.env, height=40) as terminal:
        terminal.wait(str(FIRST_PID))
        assert "580.95.05" in terminal.lines()[0]
        assert "SIMULATED" not in terminal.text()
        assert [bool(row_of(terminal.text(), gpu)) for gpu in range(8)] == [True] * 8


def test_a_hung_gpu_is_marked_the_others_go_on_and_every_key_works(nvml_sim):
    with Terminal(GPUDOCTOR, env=nvml_sim.env, height=40) as terminal:
        terminal.wait(str(FIRST_PID))
        nvml_sim.machine.hang("*", 60, gpu=2)
        terminal.wait(lambda text: "stale" in row_of(text, 2))
        assert re.search(r"GPU 2 has not answered for \d+s", terminal.text())
        nvml_sim.machine.gpus[3].temperature = 77
        nvml_sim.save()
        terminal.wait(lambda text: "77°C" in row_of(text, 3))
        terminal.type("?")
        assert terminal.wait("Sort by GPU memory") < 2
        terminal.type("Escape")
        terminal.wait(lambda text: "Sort by GPU memory" not in text)
        terminal.type("q")
        assert terminal.wait("left-with-0") < 4


def test_a_gpu_that_hangs_from_the_start_does_not_delay_the_first_frame(nvml_sim, tmp_path):
    (tmp_path / "config.toml").write_text("[sampling]\ndeadline_seconds = 30.0\n")
    nvml_sim.machine.hang("*", 60, gpu=2)
    config = str(tmp_path / "config.toml")
    with Terminal(GPUDOCTOR, "--config", config, env=nvml_sim.env, height=40) as terminal:
        assert terminal.wait(lambda text: row_of(text, 1)) < 15
        assert re.search(r"^\s*2 not answering.*stale", terminal.text(), re.MULTILINE)
        assert re.search(r"GPU 2 has not answered for \d+s; nothing is known", terminal.text())
        nvml_sim.machine.clear_faults()
        terminal.wait(lambda text: row_of(text, 2))
        terminal.type("q")
        terminal.wait("left-with-0")


def test_a_lost_gpu_and_an_xid_are_told(nvml_sim):
    with Terminal(GPUDOCTOR, env=nvml_sim.env, height=40, width=120) as terminal:
        terminal.wait(str(FIRST_PID))
        nvml_sim.machine.xid(5, 79)
        nvml_sim.machine.lose(5)
        terminal.wait("GPU 5: Xid 79: GPU has fallen off the bus")
        terminal.wait(lambda text: "lost" in row_of(text, 5))
        terminal.type("e")
        terminal.wait("restart the machine")


def test_a_real_process_that_is_left_over_is_marked_with_the_reason_and_the_way_out(nvml_sim):
    gone = subprocess.Popen(["true"])
    gone.wait()
    kernel = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(120)", "ipykernel_launcher"],
        env={**os.environ, "JPY_PARENT_PID": str(gone.pid)},
    )
    try:
        nvml_sim.use(eight_h100(pids=[kernel.pid]))
        with Terminal(GPUDOCTOR, env=nvml_sim.env, width=120, height=50) as terminal:
            terminal.wait(f"pid {kernel.pid} of")
            assert re.search(rf"^ +{kernel.pid} .* orphan ", terminal.text(), re.MULTILINE)
            terminal.type("Enter")
            terminal.wait(f"gpudoctor kill {kernel.pid}")
            assert "Jupyter kernel whose server is gone" in terminal.text()
    finally:
        kernel.kill()
        kernel.wait()


def test_without_a_driver_the_reason_is_told_and_nothing_is_painted(tmp_path):
    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("this machine has a driver")
    with Terminal(GPUDOCTOR, env=env) as terminal:
        terminal.wait("left-with-3")
        assert "error: " in terminal.text()


def test_a_running_daemon_is_the_source_while_it_is_there(nvml_sim, tmp_path):
    env = nvml_sim.env | {"GPUDOCTOR_SOCKET": str(tmp_path / "s")}
    recorded = ("--history", str(tmp_path / "history.sqlite3"))
    with serving("--interval", "0.5", *recorded, root=(), env=env) as daemon:
        daemon.wait_for("gpudoctor_gpu_up{")
        # Without the library the driver cannot be opened: all that is seen comes from the daemon.
        with Terminal(GPUDOCTOR, env={**env, "LD_LIBRARY_PATH": ""}) as terminal:
            terminal.wait("via daemon")
            terminal.wait(lambda text: "48%" in row_of(text, 0))
            daemon.process.kill()
            terminal.wait(lambda text: "stale" in row_of(text, 0), 20)
            assert "via daemon" not in terminal.lines()[0]
            terminal.type("q")
            terminal.wait("left-with-0")
    with serving("--interval", "0.5", *recorded, root=(), env=env) as daemon:
        daemon.wait_for("gpudoctor_gpu_up{")
        with Terminal(GPUDOCTOR, env=env) as terminal:
            terminal.wait("via daemon")
            daemon.process.kill()
            terminal.wait(lambda text: "via daemon" not in text, 20)
            nvml_sim.machine.gpus[0]["utilization.gpu"] = 3
            nvml_sim.save()
            terminal.wait(lambda text: "3%" in row_of(text, 0), 20)
            with serving("--interval", "0.5", *recorded, root=(), env=env):
                terminal.wait("via daemon", 30)
                nvml_sim.machine.gpus[0]["utilization.gpu"] = 4
                nvml_sim.save()
                terminal.wait(lambda text: "4%" in row_of(text, 0), 20)
                terminal.type("q")
                terminal.wait("left-with-0")

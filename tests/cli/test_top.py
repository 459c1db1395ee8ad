from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(*arguments, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "GPUDOCTOR_OR_DEMO"}
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**environment, "GPUDOCTOR_CONFIG": os.devnull, **variables},
    )


def test_without_a_terminal_the_overview_is_printed_once():
    done = run("--demo", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "SIMULATED" in lines[0]
    gpus = [line.split()[0] for line in lines if "H100" in line]
    assert gpus == [str(index) for index in range(8)]
    assert "python sweep.py" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) <= 200


def test_one_look_judges_nobody_and_has_no_column_for_it():
    done = run("--demo", "--once", PYTHONUTF8="1")
    header = next(line for line in done.stdout.splitlines() if " PID " in line)
    assert "VERDICT" not in header
    row = next(line for line in done.stdout.splitlines() if "python sweep.py" in line)
    assert row.index("python sweep.py") == header.index("COMMAND")


def test_a_stream_without_unicode_gets_plain_ascii():
    done = run("--demo", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "####" in done.stdout


def test_the_text_overview_imports_neither_textual_nor_torch():
    code = (
        "import sys\n"
        "from gpudoctor.cli.main import run\n"
        "code = run(['--demo'])\n"
        "print(code, *sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = done.stderr.split()
    assert loaded[0] == "0"
    assert not {"textual", "torch", "prometheus_client", "jinja2"} & set(loaded)


def test_a_mistaken_theme_in_the_settings_is_an_error_only_where_a_theme_is_needed(tmp_path):
    settings = tmp_path / "config.toml"
    settings.write_text('[tui]\ntheme = "drak"\n')
    assert run("--demo", "--config", str(settings)).returncode == 0


def test_a_recording_is_marked_as_one(tmp_path):
    file = str(tmp_path / "demo.jsonl.gz")
    assert run("--demo", "record", file, "--duration", "0.5", "--interval", "0.2").returncode == 0
    done = run("--replay", file, PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert "REPLAY" in done.stdout.splitlines()[0]
    assert "SIMULATED" not in done.stdout
    assert "python sweep.py" in done.stdout


def test_demo_and_replay_exclude_each_other():
    done = run("--demo", "--replay", "x")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --demo and --replay exclude each other")


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="this machine has a driver")
class TestWithoutADriver:
    def test_the_error_is_told_and_the_code_is_3(self):
        done = run()
        assert done.returncode == 3, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr

    def test_the_simulated_machine_is_shown_where_that_is_allowed_and_it_is_said(self):
        done = run(GPUDOCTOR_OR_DEMO="1", PYTHONUTF8="1")
        assert done.returncode == 0, done.stderr
        assert "SIMULATED" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "SIMULATED" in done.stdout.splitlines()[0]

    def test_a_missing_recording_is_not_replaced_by_the_simulation(self):
        done = run("--replay", "no-such-file", GPUDOCTOR_OR_DEMO="1")
        assert done.returncode == 2
        assert done.stdout == ""

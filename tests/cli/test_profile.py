from __future__ import annotations

import json
import os
import pstats
import re
import signal
import subprocess
import sys
import time

import pytest

HELLO = (
    "import sys\nprint('hello', *sys.argv[1:])\nsys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)\n"
)


def profile(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", "profile", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.fixture
def hello(tmp_path):
    (tmp_path / "main.py").write_text(HELLO)
    return tmp_path


def test_the_scripts_output_comes_first_and_its_exit_code_is_passed_through(hello):
    done = profile("--python", sys.executable, "main.py", "7", "--json", cwd=hello)
    assert done.returncode == 7
    assert done.stdout.startswith("hello 7 --json\n")
    assert "exit code 7" in done.stdout


def test_json_is_one_object_and_what_the_script_prints_goes_to_stderr(hello):
    done = profile("--python", sys.executable, "--json", "main.py", cwd=hello)
    seen = json.loads(done.stdout)
    assert seen["schema"] == "gpudoctor.profile/1"
    assert seen["findings"] == []
    assert seen["run"]["program"] == ["main.py"]
    assert "hello" in done.stderr


def test_options_after_a_module_are_the_modules(hello):
    done = profile("--python", sys.executable, "-m", "main", "0", "--json", cwd=hello)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hello 0 --json\n")


def test_code_is_run_as_python_runs_it(tmp_path):
    done = profile("--python", sys.executable, "-c", "print('hi')", cwd=tmp_path)
    assert done.stdout.startswith("hi\n")


def test_a_session_is_kept_and_shown_again(hello):
    done = profile("--python", sys.executable, "--out", "kept", "main.py", "3", cwd=hello)
    assert done.returncode == 3
    assert {"session.json", "profile.json"} <= set(os.listdir(hello / "kept"))
    again = profile("--load", "kept", cwd=hello)
    assert again.returncode == 0
    assert "hello" not in again.stdout
    assert "exit code 3" in again.stdout


def test_without_out_nothing_is_left_behind(hello):
    profile("--python", sys.executable, "main.py", cwd=hello)
    assert os.listdir(hello) == ["main.py"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "there is nothing to profile"),
        (("gone.py",), "there is no script gone.py"),
        (("folder",), "folder is a folder without a __main__.py"),
        (("binary",), "binary is not a Python script"),
        (("--python", "/no/python", "main.py"), "there is no interpreter /no/python"),
        (("--load", "gone"), "there is no session in gone"),
        (("--load", "gone", "main.py"), "--load runs nothing"),
        (("--out", "folder", "main.py"), "folder is not empty"),
    ],
)
def test_bad_input_is_one_block_and_exit_code_2(arguments, error, hello):
    (hello / "folder").mkdir()
    (hello / "folder" / "x").write_text("")
    (hello / "binary").write_bytes(b"\x7fELF\0\0")
    done = profile(*arguments, cwd=hello)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"error: {error}"
    assert "Traceback" not in done.stderr


def test_a_syntax_error_is_shown_by_python_and_by_the_verdict(tmp_path):
    (tmp_path / "main.py").write_text("if x\n")
    done = profile("--python", sys.executable, "main.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "The script did not start at main.py:1: SyntaxError" in done.stdout
    assert "gpudoctor" not in done.stderr.partition("\n")[2]


def test_an_exception_is_part_of_the_verdict_with_its_line(tmp_path):
    (tmp_path / "main.py").write_text(
        "def f():\n    raise ValueError('bad [red] \\x1b[31m')\nf()\n"
    )
    done = profile("--python", sys.executable, "main.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "ended by an exception at main.py:2: ValueError: bad [red] \\x1b[31m" in done.stdout


def test_an_interpreter_that_is_no_python_is_said(hello):
    (hello / "python").write_text("#!/bin/sh\nexit 9\n")
    (hello / "python").chmod(0o755)
    done = profile("--python", str(hello / "python"), "main.py", cwd=hello)
    assert done.returncode == 2
    assert "the script left nothing to report" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_gpudoctor_reaches_the_script_and_the_report_is_printed(number, code, tmp_path):
    (tmp_path / "main.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(30)\n")
    child = subprocess.Popen(
        [sys.executable, "-m", "gpudoctor", "profile", "--python", sys.executable, "main.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.2)
    child.send_signal(number)
    output, _ = child.communicate(timeout=20)
    assert child.returncode == code
    assert "main.py:3" in output


def test_the_report_is_plain_text_in_a_pipe(hello):
    done = profile("--python", sys.executable, "main.py", cwd=hello)
    assert "\x1b" not in done.stdout


def test_mode_bottleneck_counts_every_call(tmp_path):
    (tmp_path / "main.py").write_text(
        "import sys\ndef often():\n    pass\nfor _ in range(321):\n    often()\nsys.exit(0)\n"
    )
    done = profile("--python", sys.executable, "--mode", "bottleneck", "main.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"321 .*main\.py:2\(often\)", done.stdout)
    assert "Environment Summary" in done.stdout
    assert "runner" not in done.stdout


def test_counted_calls_can_be_read_by_pstats(tmp_path):
    (tmp_path / "main.py").write_text("def once():\n    pass\nonce()\n")
    options = ("--mode", "bottleneck", "--out", "kept")
    profile("--python", sys.executable, *options, "main.py", cwd=tmp_path)
    stats = pstats.Stats(str(tmp_path / "kept" / "calls.pstats")).stats
    assert [row[0] for key, row in stats.items() if key[2] == "once"] == [1]


def test_an_interpreter_without_torch_is_named_with_what_to_do(tmp_path):
    (tmp_path / "main.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    done = profile("--python", sys.executable, "main.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "has no torch; name the right one with --python" in done.stderr
    assert "Nothing to complain about" not in done.stdout
    assert f"Profiling with {sys.executable}.\n" in done.stderr


def test_an_option_of_ours_after_the_script_is_noted(hello):
    done = profile("--python", sys.executable, "main.py", "0", "--steps=3", cwd=hello)
    assert "note: --steps after main.py is given to the script" in done.stderr
    assert done.stdout.startswith("hello 0 --steps=3\n")


def test_an_option_that_the_script_names_itself_is_not_noted(tmp_path):
    (tmp_path / "main.py").write_text("import sys\nassert '--steps' in sys.argv\n")
    done = profile("--python", sys.executable, "main.py", "--steps", "3", cwd=tmp_path)
    assert done.returncode == 0
    assert "note:" not in done.stderr


def test_a_loaded_run_has_its_exit_code(hello):
    first = profile("--python", sys.executable, "--out", "kept", "main.py", cwd=hello)
    again = profile("--load", "kept", cwd=hello)
    assert "exit code 0" in first.stdout
    assert "exit code 0" in again.stdout


def test_no_line_in_a_pipe_ends_in_blanks(hello):
    done = profile("--python", sys.executable, "main.py", cwd=hello)
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []

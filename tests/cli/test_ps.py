"""`gpudoctor ps` as a program, on the scripted machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gpudoctor", "--demo", "ps", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, **options)


def test_json_is_one_object_with_the_names_that_programs_rely_on():
    answer = json.loads(run("--json").stdout)
    assert answer["schema"] == "gpudoctor.ps/1"
    assert len(answer["devices"]) == 8
    for row in answer["processes"]:
        assert isinstance(row["pid"], int)
        assert row["gpus"]
        assert isinstance(row["user"], str)
        assert row["memory_used_bytes"] > 0


def test_the_table_goes_to_stdout_and_the_mark_of_simulation_to_stderr():
    done = run()
    assert done.returncode == 0
    assert "COMMAND" in done.stdout
    assert "SIMULATED" in done.stderr
    assert "SIMULATED" not in done.stdout


def test_filters_and_order_hold_in_json_too():
    rows = json.loads(run("--json", "--sort", "memory").stdout)["processes"]
    used = [row["memory_used_bytes"] for row in rows]
    assert used == sorted(used, reverse=True)
    user = rows[0]["user"]
    mine = json.loads(run("--json", "--user", user).stdout)["processes"]
    assert {row["user"] for row in mine} == {user}


def test_an_unknown_order_is_a_usage_error_that_names_the_orders():
    done = run("--sort", "beauty")
    assert done.returncode == 2
    assert done.stderr.startswith("SIMULATED") or done.stderr.startswith("error:")
    assert "memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_needs_neither_rich_nor_psutil_nor_textual():
    code = (
        "import sys; from gpudoctor.cli.main import run; run(['--demo', 'ps', '--json']); "
        "print([name for name in ('rich', 'psutil', 'textual', 'torch', 'jinja2') "
        "if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.integration
def test_watching_ends_with_ctrl_c_and_its_code():
    import signal
    import time

    command = [sys.executable, "-m", "gpudoctor", "--demo", "ps", "--watch", "0.1"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=10)
    assert watching.returncode == 130
    assert out.count("COMMAND") >= 2
    assert "Traceback" not in err


def test_a_filter_that_nothing_matches_says_so_and_a_gpu_that_is_not_there_is_an_error():
    assert "No process matches." in run("--user", "nobody-of-this-name").stdout
    done = run("--gpu", "99")
    assert done.returncode == 2
    assert "there is no GPU 99" in done.stderr


def test_lines_in_a_pipe_end_where_their_text_ends():
    assert not [line for line in run().stdout.splitlines() if line != line.rstrip()]

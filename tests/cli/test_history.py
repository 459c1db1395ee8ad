from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from gpudoctor.cli.moments import Moment
from tests.cli.serving import serving


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The history of a demo that ran long enough for its Xid."""
    path = tmp_path_factory.mktemp("history") / "h.sqlite3"
    with serving("--interval", "0.2", "--inspect", "2", "--history", str(path)) as daemon:
        text = daemon.wait_for("gpudoctor_gpu_xid_errors_total{")
        assert "gpudoctor_recorder_errors_total 0" in text
        time.sleep(0.5)
        # A second daemon must not write to the same file, and says so.
        done = run("--demo", "serve", "--listen", "127.0.0.1:0", "--history", str(path))
        assert done.returncode == 2
        assert "in use" in done.stderr
        assert daemon.end()[0] == 0
    return str(path)


def test_the_page_draws_gpus_and_names_processes_and_xids(recorded):
    done = run("history", "--file", recorded, "--since", "5m")
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^GPU \d", done.stdout, re.MULTILINE)) == 8
    assert "SIMULATED" in done.stdout
    assert "sweep.py" in done.stdout
    assert "Xid 13" in done.stdout


def test_a_process_is_shown_with_its_gpu_alone(recorded):
    done = run("history", "--file", recorded, "--pid", "29907", "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == "gpudoctor.history/1"
    assert [gpu["index"] for gpu in told["gpus"]] == [5]
    assert [row["command"] for row in told["processes"]] == [["python", "sweep.py"]]
    assert len(told["gpus"][0]["points"]) > 20
    assert told["events"] == []


def test_events_alone_can_be_asked_for(recorded):
    done = run("history", "--file", recorded, "--events")
    assert "Xid 13" in done.stdout
    assert "utilisation" not in done.stdout
    assert "No event" in run("history", "--file", recorded, "--events", "--gpu", "0").stdout


def test_findings_are_events_too_and_those_of_a_process_are_of_its_gpu(recorded):
    done = run("history", "--file", recorded, "--json")
    found = {(note["name"], tuple(note["gpus"])) for note in json.loads(done.stdout)["notes"]}
    assert ("clocks.hardware-slowdown", (6,)) in found
    shown = run("history", "--file", recorded, "--events", "--pid", "44871").stdout
    assert "clocks.hardware-slowdown: GPU 6" in shown
    assert "Xid 13" not in shown


def test_what_a_daemon_recorded_here_is_not_passed_off_as_the_simulated_machine_s(
    recorded, tmp_path
):
    (tmp_path / "history.sqlite3").write_bytes(Path(recorded).read_bytes())
    command = [sys.executable, "-m", "gpudoctor", "--demo", "history", "--events"]
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ)
    assert done.returncode == 0, done.stderr
    assert "--demo and --replay have no history" in done.stderr


def test_without_a_history_it_says_how_to_get_one(tmp_path):
    done = run("history", "--file", str(tmp_path / "none"))
    assert done.returncode == 3
    assert "hint: Start `gpudoctor serve`" in done.stderr


def test_times_in_the_wrong_order_are_told(recorded):
    done = run("history", "--file", recorded, "--since", "1h", "--until", "2h")
    assert done.returncode == 2
    assert "--until lies before --since" in done.stderr


def moment(text):
    return Moment().convert(text, None, None)


def test_moments_are_understood():
    assert moment("2h") == pytest.approx(time.time() - 7200, abs=5)
    assert moment("1.5d") == pytest.approx(time.time() - 129_600, abs=5)
    assert moment("2026-01-31T03:00:00+00:00") == 1_769_828_400
    assert 0 <= time.time() - moment("3:00") < 86_400
    assert time.localtime(moment("03:00"))[3:5] == (3, 0)


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "h", "-2h", "2026-13-01"])
def test_what_is_no_moment_is_told(text):
    with pytest.raises(click.UsageError, match="no moment"):
        moment(text)

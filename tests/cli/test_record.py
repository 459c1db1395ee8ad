from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from gpudoctor.model.recording import read

COMMAND = [sys.executable, "-m", "gpudoctor", "--demo", "record"]


def test_a_recording_of_the_demo_is_played_back_by_ps(tmp_path):
    file = tmp_path / "demo.jsonl.gz"
    done = subprocess.run(
        [*COMMAND, str(file), "--duration", "0.8", "--interval", "0.2"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    made_up, begun, ended = done.stderr.splitlines()  # no line that is written over in a log
    assert made_up.startswith("SIMULATED")
    assert begun.startswith("Recording")
    assert ended == f"{len(read(file).snapshots)} snapshots in {file}"
    assert len(read(file).snapshots) >= 2
    shown = subprocess.run(
        [sys.executable, "-m", "gpudoctor", "--replay", str(file), "ps"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "sweep.py" in shown.stdout, shown.stderr


def test_ctrl_c_ends_a_recording_with_whole_lines_and_success(tmp_path):
    file = tmp_path / "demo.jsonl"
    with subprocess.Popen(
        [*COMMAND, str(file), "--interval", "0.1"], stderr=subprocess.PIPE
    ) as running:
        while not file.exists() or file.stat().st_size < 100_000:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 0
    assert file.read_bytes().endswith(b"\n")
    assert len(read(file).snapshots) >= 2


def test_a_recording_that_exists_is_left_alone(tmp_path):
    file = tmp_path / "mine"
    file.write_text("precious")
    done = subprocess.run([*COMMAND, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert file.read_text() == "precious"


@pytest.mark.parametrize("name", ["demo.jsonl", "demo.jsonl.gz"])
def test_a_recording_ends_before_it_is_larger_than_it_may_be(tmp_path, name):
    file = tmp_path / name
    most = 150_000 if name.endswith("jsonl") else 30_000
    done = subprocess.run(
        [*COMMAND, str(file), "--interval", "0.1", "--max-size", str(most)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "reached --max-size" in done.stderr
    # The last snapshot may be a little larger than the one before it, by which it was reckoned.
    assert most * 0.3 < file.stat().st_size < most * 1.05
    assert len(read(file).snapshots) >= 2

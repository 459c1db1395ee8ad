"""`gpudoctor profile --pid` on jobs that really run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpudoctor.profile.payload import source

pytestmark = pytest.mark.integration
JOB = """\
import time, torch
from torch.utils.data import DataLoader, Dataset
class Slow(Dataset):
    def __len__(self): return 1_000_000
    def __getitem__(self, i):
        time.sleep(0.004)  # planted
        return torch.randn(16)
if __name__ == "__main__":
    torch.set_num_threads(1)
    model = torch.nn.Linear(16, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, batch in enumerate(DataLoader(Slow(), batch_size=4, num_workers=1)):
        model(batch).sum().backward()
        optimizer.step()
        if number == 5:
            print("steps", flush=True)
"""


@contextlib.contextmanager
def running(script: Path, source: str, **environment: str) -> Iterator[int]:
    script.write_text(source)
    job = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert job.stdout is not None
        assert job.stdout.readline()
        yield job.pid
    finally:
        job.kill()
        job.wait()


def watched(pid: int, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", "profile", "--pid", str(pid), "--json", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_running_job_is_seen_from_outside_with_its_workers_and_its_operators(tmp_path):
    script = tmp_path / "job.py"
    # libkineto takes no folder for its sockets with a path longer than 54 characters.
    with (
        tempfile.TemporaryDirectory(prefix="kineto-") as sockets,
        running(script, JOB, KINETO_USE_DAEMON="1", KINETO_IPC_SOCKET_DIR=sockets) as pid,
    ):
        done = watched(pid, "--duration", "3", "--out", str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
        os.kill(pid, 0)
    seen = json.loads(done.stdout)
    assert (seen["run"]["how"], seen["notes"]) == ("watched", [])
    first = seen["findings"][0]
    assert (first["id"], first["source_line"]) == ("loader.starved", f"{script}:6")
    assert 0.3 < seen["window"]["seconds"] < 1.0
    assert seen["window"]["steps"] > 3
    assert any(one["name"] == "aten::addmm" for one in seen["window"]["operators"])
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_job_that_was_started_without_anything_is_entered_on_request(tmp_path):
    script = tmp_path / "job.py"
    with running(script, JOB) as pid:
        done = watched(pid, "--duration", "2", "--inject")
        assert done.returncode == 0, done.stderr
        os.kill(pid, 0)
        again = watched(pid, "--duration", "2")
    seen = json.loads(done.stdout)
    assert seen["notes"] == []
    assert seen["findings"][0]["source_line"] == f"{script}:6"
    assert 0.3 < seen["window"]["seconds"] < 1.5
    assert any(one["name"] == "aten::addmm" for one in seen["window"]["operators"])
    assert "KINETO_USE_DAEMON" in json.loads(again.stdout)["notes"][0]


ENDING = """\
import sys, threading, time, torch
torch.ones(2)
names = {}
exec(sys.argv[1], names)
threading.Thread(target=names["run"], daemon=True).start()
end = time.time() + 2
while time.time() < end: torch.ones(8).sum()
"""


def test_a_job_that_ends_inside_the_injected_window_ends_as_ever(tmp_path):
    code = source(tmp_path / "trace.json", 30.0)
    done = subprocess.run(
        [sys.executable, "-c", ENDING, code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_job_without_torch_is_told_what_cannot_be_had_and_why(tmp_path):
    script = tmp_path / "spin.py"
    source = "print(1, flush=True)\nwhile True:\n    sum(range(1000))\n"
    with running(script, source) as pid:
        done = watched(pid, "--duration", "1")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["notes"] == ["No operators: it has not loaded torch."]
    assert seen["lines"][0]["source_line"] == f"{script}:3"
    assert "Operators: no, it has not loaded torch." in done.stderr


def test_ctrl_c_ends_the_watch_and_what_was_seen_is_reported(tmp_path):
    script = tmp_path / "spin.py"
    with running(script, "print(1, flush=True)\nwhile True:\n    sum(range(1000))\n") as pid:
        watch = subprocess.Popen(
            [sys.executable, "-m", "gpudoctor", "profile", "--json", "--pid", str(pid)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watch.stderr is not None
        assert watch.stderr.readline().startswith("Python stacks: yes")
        time.sleep(2.5)
        watch.send_signal(signal.SIGINT)
        seen = json.loads(watch.communicate(timeout=20)[0])
    assert "The watch was interrupted." in seen["notes"]
    assert seen["lines"][0]["source_line"] == f"{script}:3"


def test_a_job_that_ends_while_it_is_watched_is_reported_so_far(tmp_path):
    script = tmp_path / "short.py"
    source = (
        "import time\nprint(1, flush=True)\nend = time.time() + 3\nwhile time.time() < end: pass\n"
    )
    with running(script, source) as pid:
        done = watched(pid, "--duration", "20")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "The job ended while it was watched." in seen["notes"]
    assert seen["lines"][0]["source_line"] == f"{script}:4"
    assert seen["run"]["wall_seconds"] < 10


def test_torchrun_itself_is_refused_and_its_ranks_are_named(tmp_path):
    script = tmp_path / "torchrun"
    source = (
        "import subprocess, sys\n"
        "rank = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\n"
        "print(rank.pid, flush=True)\nrank.wait()\n"
    )
    with running(script, source) as pid:
        done = watched(pid, "--duration", "1")
    assert done.returncode != 0
    assert "is torchrun" in done.stderr
    assert "Name one of them" in done.stderr


def test_a_process_that_is_not_python_is_refused_with_the_reason():
    sleeper = subprocess.Popen(["sleep", "30"])
    try:
        done = watched(sleeper.pid, "--duration", "1")
    finally:
        sleeper.kill()
        sleeper.wait()
    assert done.returncode != 0
    assert "not a Python process" in done.stderr

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.runner.harness import OPTIONS, RUNNER, session, watched

BUSY = """
import time
until = time.process_time() + 0.3
while time.process_time() < until:
    sum(range(1000))
print('ready', flush=True)
while True:
    sum(range(1000))
"""


def start(folder, script):
    (folder / "main.py").write_text(script)
    options = json.dumps({**OPTIONS, "folder": str(folder)})
    child = subprocess.Popen(
        [sys.executable, str(RUNNER), options, "script", str(folder / "main.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.2)
    return child


@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")]
)
def test_a_signal_ends_the_script_as_ever_and_the_session_is_written(number, how, tmp_path):
    child = start(tmp_path, BUSY)
    child.send_signal(number)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == -number
    assert "runner" not in errors
    seen = session(tmp_path)
    assert seen["ended"]["how"] == how
    assert seen["samples"]["samples"] > 5


def test_what_was_seen_before_a_kill_is_kept(tmp_path):
    child = start(tmp_path, BUSY)
    deadline = time.monotonic() + 10
    while not (tmp_path / "session.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.kill()
    child.communicate(timeout=20)
    assert session(tmp_path)["ended"]["how"] == "running"


def test_a_signal_handler_of_the_script_stays_in_charge(tmp_path):
    child = start(
        tmp_path,
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" + BUSY,
    )
    child.terminate()
    child.communicate(timeout=20)
    assert child.returncode == 5
    assert session(tmp_path)["ended"] == {"how": "exit", "code": 5}


def test_a_forked_child_writes_no_session_of_its_own(tmp_path):
    (tmp_path / "main.py").write_text(
        "import os, sys\npid = os.fork()\nif pid == 0:\n    sys.exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py"))
    assert (done.stdout, done.returncode) == ("3\n", 0)
    assert session(tmp_path)["ended"]["how"] == "finished"


def test_a_folder_that_cannot_be_written_does_not_disturb_the_script(tmp_path):
    (tmp_path / "main.py").write_text("print('fine')")
    done = watched(sys.executable, tmp_path / "gone", "script", str(tmp_path / "main.py"))
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)


def test_an_exception_is_recorded_with_its_line(tmp_path):
    (tmp_path / "main.py").write_text("import json\n\njson.loads('{')\n")
    watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py"))
    ended = session(tmp_path)["ended"]
    assert ended["how"] == "exception"
    assert ended["text"].startswith("JSONDecodeError")
    assert ended["site"] == [str(tmp_path / "main.py"), 3]


def test_on_a_disk_that_is_nearly_full_the_end_is_told_without_the_stacks(tmp_path):
    (tmp_path / "main.py").write_text(
        "import resource, signal, time\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1800, 1800))\n"
        + "".join(f"def f{n}(): time.sleep(0.012)\n" for n in range(40))
        + "for n in range(40): globals()[f'f{n}']()\n"
        "raise SystemExit(5)\n"
    )
    done = watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py"))
    assert done.returncode == 5
    seen = session(tmp_path)
    assert (seen["ended"]["how"], seen["samples"]) == ("exit", None)
    assert not (tmp_path / "session.json.part").exists()

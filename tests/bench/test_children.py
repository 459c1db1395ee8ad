"""A child runs in a group of its own, and nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.bench import children
from gpudoctor.bench.children import launcher

LIVES = "import os, subprocess, sys, time; p = subprocess.Popen(['sleep', '60']);"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs a program in the place of the runner's: it gets PART and OPTIONS as the runner does."""

    def run(program, timeout_s=20.0):
        script = tmp_path / "runner.py"
        script.write_text(program)
        monkeypatch.setattr(children, "RUNNER", script)
        with launcher(sys.executable, os.environ) as launch:
            ended = launch.run("part", {"a": 1}, ("x",), timeout_s=timeout_s)
            return ended, launch.folder

    return run


def gone(pid):
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z"):
            return True
        time.sleep(0.02)
    return False


def test_a_childs_result_code_and_output_come_back_and_the_scratch_folder_goes(start):
    ended, folder = start(
        "import json, sys\no = json.loads(sys.argv[2])\nprint('said', sys.argv[1], sys.argv[3:])\n"
        "json.dump({'a': o['a']}, open(o['result'], 'w'))\nsys.exit(7)"
    )
    assert (ended.code, ended.result, ended.timed_out) == (7, {"a": 1}, False)
    assert ended.tail == "said part ['x']"
    assert not folder.exists()


def test_a_child_that_takes_too_long_is_ended_with_its_own_children(start):
    ended, _ = start(LIVES + "print(p.pid, flush=True); time.sleep(60)", timeout_s=1.0)
    assert ended.timed_out and ended.result is None
    assert gone(int(ended.tail))


def test_children_that_outlive_their_parent_are_ended_too(start):
    ended, _ = start(LIVES + "print(p.pid, flush=True)")
    assert ended.code == 0
    assert gone(int(ended.tail))


def test_a_result_cut_short_is_no_result(start):
    ended, _ = start("import json, sys\nopen(json.loads(sys.argv[2])['result'], 'w').write('{')")
    assert ended.result is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_child_and_no_folder_behind(tmp_path, number):
    script = tmp_path / "runner.py"
    pids = tmp_path / "pids"
    script.write_text(
        LIVES + f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{p.pid}}'); time.sleep(60)"
    )
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom gpudoctor.bench import children\n"
        f"children.RUNNER = Path({str(script)!r})\n"
        "with children.launcher(sys.executable, os.environ) as launch:\n"
        "    print(launch.folder, flush=True)\n"
        "    launch.run('part', {}, timeout_s=60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    folder = Path(parent.stdout.readline().strip())
    until = time.monotonic() + 20
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        assert time.monotonic() < until
        time.sleep(0.02)
    parent.send_signal(number)
    parent.wait(timeout=20)
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    assert not folder.exists()


def test_the_options_reach_the_child_as_json(start):
    ended, folder = start("import sys; print(sys.argv[2])")
    assert json.loads(ended.tail) == {"a": 1, "result": str(folder / "result.json")}


def test_a_signal_that_is_ignored_stays_ignored_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with launcher(sys.executable, os.environ):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)

"""Real commands as children: heard, stopped, and nothing of them left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gpudoctor.tui.errands import Errand, Errands, Tail
from tests.reclaim.children import state_of, until


def script(folder, text):
    path = folder / "main.py"
    path.write_text(text)
    return str(path)


def profile(folder, text, *options):
    path = script(folder, text)
    out = str(folder / "out")
    arguments = ("profile", "--json", "--no-operators", "--out", out, *options, path)
    return Errand(arguments, cwd=str(folder))


@pytest.fixture
def errands():
    made = Errands()
    yield made
    made.end()


def group_of(errand):
    pid = errand._child.pid
    return [
        int(word)
        for word in subprocess.run(
            ["ps", "-o", "pid=", "-g", str(pid)], capture_output=True, text=True, check=False
        ).stdout.split()
    ]


def test_result_and_talk_are_told_apart_and_it_ends(tmp_path, errands):
    errand = errands.begin(profile(tmp_path, "print('spoken by the script')"))
    assert errand.wait(30)
    assert errand.code == 0 and not errand.stopped and errand.failure is None
    assert json.loads(errand.output)["schema"] == "gpudoctor.profile/1"
    assert "spoken by the script" in errand.talk.lines()
    assert errand.seconds > 0 and errands.under_way == ()


def test_it_imports_nothing_from_the_folder_that_it_runs_in(tmp_path, errands):
    (tmp_path / "click.py").write_text("raise SystemExit('shadowed')")
    errand = errands.begin(Errand(("schema",), cwd=str(tmp_path)))
    assert errand.wait(30) and errand.code == 0, errand.talk.lines()


def test_a_stopped_profile_keeps_what_it_gathered_and_leaves_no_process(tmp_path, errands):
    text = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('begun', flush=True)\nwhile True: time.sleep(0.01)\n"
    )
    errand = errands.begin(profile(tmp_path, text))
    until(lambda: "begun" in errand.talk.lines())
    group = group_of(errand)
    assert len(group) >= 3
    errand.stop()
    assert errand.wait(20) and errand.stopped
    assert (tmp_path / "out" / "session.json").exists()
    assert json.loads(errand.output)["run"]["how"] == "interrupted"
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in group))


def test_a_second_stop_ends_a_script_that_will_not_be_interrupted(tmp_path, errands):
    text = (
        "import signal, time\n"
        "for one in (signal.SIGINT, signal.SIGTERM): signal.signal(one, signal.SIG_IGN)\n"
        "print('begun', flush=True)\ntime.sleep(60)\n"
    )
    errand = errands.begin(profile(tmp_path, text))
    until(lambda: "begun" in errand.talk.lines())
    group = group_of(errand)
    errand.stop()
    assert not errand.wait(0.5)
    errand.stop()
    assert errand.wait(10)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in group))


def test_ending_all_waits_for_them(tmp_path):
    errands = Errands()
    errand = errands.begin(profile(tmp_path, "import time; print(1, flush=True); time.sleep(60)"))
    until(lambda: errand.talk.lines()[1:])
    errands.end()
    assert errand.over and errands.under_way == ()


def test_where_the_ui_is_killed_the_child_is_interrupted_and_keeps_what_it_has(tmp_path):
    path = script(tmp_path, "import time; print('begun', flush=True); time.sleep(60)")
    code = (
        "import sys, time; from gpudoctor.tui.errands import Errand\n"
        f"one = Errand(('profile', '--json', '--out', {str(tmp_path / 'out')!r}, {path!r})); one.start()\n"
        "while 'begun' not in one.talk.lines(): time.sleep(0.01)\n"
        "print(one._child.pid, flush=True); time.sleep(60)"
    )
    ui = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert ui.stdout is not None
    pid = int(ui.stdout.readline())
    ui.send_signal(signal.SIGKILL)
    ui.wait()
    ui.stdout.close()
    until(lambda: state_of(pid) in ("Z", None))
    until(lambda: "interrupted" in (tmp_path / "out" / "session.json").read_text())


def test_an_error_of_the_command_is_in_its_talk(tmp_path, errands):
    errand = errands.begin(Errand(("profile", "--json", "missing.py"), cwd=str(tmp_path)))
    assert errand.wait(30) and errand.code == 2
    assert errand.talk.lines()[0] == "error: there is no script missing.py"


def test_a_folder_that_is_gone_is_a_failure_and_no_hang(tmp_path, errands):
    errand = errands.begin(Errand(("schema",), cwd=str(tmp_path / "gone")))
    assert errand.wait(5) and errand.failure == "it cannot be started: No such file or directory"


def test_a_progress_bar_is_one_line_that_changes():
    tail = Tail()
    tail.feed(b"begun\r\n10%\r20%")
    assert tail.lines() == ["begun", "20%"]
    tail.feed(b"\r30%\r")
    assert tail.lines() == ["begun", "30%"]
    tail.feed(b"\ndone \xff")
    assert tail.lines() == ["begun", "30%", "done \ufffd"]


def test_only_the_last_lines_are_kept():
    tail = Tail(3)
    tail.feed(b"\n".join(str(number).encode() for number in range(10)) + b"\n")
    assert tail.lines() == ["7", "8", "9"]


def test_a_stop_before_the_start_was_over_is_heeded(tmp_path, errands):
    begun = time.monotonic()
    errand = errands.begin(profile(tmp_path, "import time; time.sleep(60)"))
    errand.stop()
    assert errand.wait(20)
    assert time.monotonic() - begun < 20

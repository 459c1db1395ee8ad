"""A program sampled from outside by py-spy: what is made of its words, and where it cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest

from gpudoctor.profile import outside, reach
from gpudoctor.profile.launcher import Collect, Program, launch
from gpudoctor.profile.outside import Outside, Recording, is_user, main_samples
from gpudoctor.profile.stacks import functions, lines
from gpudoctor.profile.summary import load_profile

RUN = "/x/gpudoctor/runner/run.py"
FRAMES = [
    ('process 77:"python main.py"', "", 0),
    ("main", RUN, 40),
    ("<module>", "/home/me/main.py", 9),
    ("slow", "/home/me/main.py", 4),
    ("Tensor.sort", "/x/torch/lib/libtorch_cpu.so", 0),
    ("Recorder._hold_up", "/x/gpudoctor/runner/recorder.py", 50),
    ("LoaderWatch.install.<locals>.__next__", "/x/gpudoctor/runner/loader.py", 50),
]
# A C call that keeps the interpreter to itself: a sampler in the process sees only the line after it.
HOLDS = """\
import time
numbers = list(range(400_000))
def loop():
    until = time.perf_counter() + 1.5
    while time.perf_counter() < until:
        sorted(numbers, key=None, reverse=True)  # holds
        time.sleep(0.0001)
loop()
"""


def recording(*stacks, name='Process 77 Thread 77 "MainThread"'):
    frames = [{"name": name, "file": file, "line": line} for name, file, line in FRAMES]
    body = {"shared": {"frames": frames}, "profiles": [{"name": name, "samples": stacks}]}
    return msgspec.convert(body, Recording)


def test_the_runner_is_cut_off_and_the_loop_is_told_from_the_start():
    seen = main_samples(
        recording([0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 6, 3, 4], [0, 1, 2, 5], [0, 4]),
        77,
        3.0,
        1.5,
    )
    assert seen.samples == 3
    names = [name for name, *_ in seen.functions]
    assert names == ["<module>", "slow", "Tensor.sort"]
    found = {(line.source_line, line.phase): line for line in lines(seen)}
    assert found["/home/me/main.py:9", "start"].total_seconds == pytest.approx(1.0)
    assert found["/home/me/main.py:4", "start"].self_seconds == pytest.approx(1.0)
    assert found["/home/me/main.py:4", "step"].torch_seconds == pytest.approx(1.0)
    assert functions(seen)[0].self_seconds == pytest.approx(1.0)


def test_other_processes_are_not_the_main_thread():
    other = recording([0, 1, 2], name='Process 78 Thread 78 "MainThread"')
    assert main_samples(other, 77, 3.0, None).stacks == []
    alone = recording([0, 1, 2], name='Thread 77 "MainThread"')
    assert main_samples(alone, 77, 3.0, None).samples == 1


@pytest.mark.parametrize(
    "file",
    [
        "",
        "/x/libtorch_cpu.so",
        "/usr/lib/libc.so.6",
        "/usr/bin/python3.11",
        "/src/ops.cpp",
        "<frozen x>",
    ],
)
def test_native_code_is_nobodys_script(file):
    assert not is_user(file)


@pytest.mark.parametrize("file", ["/home/me/main.py", "/usr/local/lib/me/train"])
def test_scripts_are_the_users(file):
    assert is_user(file)


def test_a_kernel_that_lets_root_alone_look_is_named(tmp_path: Path):
    (tmp_path / "sys/kernel/yama").mkdir(parents=True)
    (tmp_path / "77").mkdir()
    scope = tmp_path / "sys/kernel/yama/ptrace_scope"
    scope.write_text("1\n")
    assert reach.why_no_stacks(77, tmp_path) is None
    scope.write_text("3\n")
    assert "ptrace_scope is 3" in (reach.why_no_stacks(77, tmp_path) or "")
    assert reach.why_no_stacks(78, tmp_path) is not None


def run(tmp_path, source, **collect):
    script, folder = tmp_path / "main.py", tmp_path / "out"
    script.write_text(source)
    folder.mkdir()
    beside = Outside(folder)
    code = launch(
        sys.executable,
        Program("script", str(script)),
        folder,
        Collect(operators=False, interval_seconds=0.005, **collect),
        outside=beside,
    )
    return code, load_profile(folder, code), beside


def fake(tmp_path, monkeypatch, text):
    path = tmp_path / "bin" / "py-spy"
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o755)
    for module in (outside, reach):
        monkeypatch.setattr(module, "search_path", lambda: str(path.parent))


def test_a_py_spy_that_may_not_look_leaves_the_sampling_to_the_process(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, "#!/bin/sh\necho 'Permission Denied: try sudo' >&2\nexit 1\n")
    code, seen, beside = run(tmp_path, "import time\ntime.sleep(0.3)\nraise SystemExit(7)\n")
    assert (code, seen.run.exit_code) == (7, 7)
    assert beside.why_not == "py-spy says: Permission Denied: try sudo"
    assert any("Sampled from inside, not by py-spy" in note for note in seen.notes)
    assert seen.lines[0].source_line == f"{tmp_path}/main.py:2"


def test_without_py_spy_the_process_samples_itself(tmp_path, monkeypatch):
    for module in (outside, reach):
        monkeypatch.setattr(module, "search_path", lambda: str(tmp_path))
    _, seen, _ = run(tmp_path, "import time\ntime.sleep(0.2)\n")
    assert any("py-spy is not installed" in note for note in seen.notes)
    assert seen.lines


def test_nonsense_from_py_spy_is_no_profile(tmp_path, monkeypatch):
    words = "#!/bin/sh\necho Sampling process\n"
    words += 'for a; do case $a in */stacks.*) echo "[1" >"$a";; esac; done\n'
    fake(tmp_path, monkeypatch, words)
    _, seen, _ = run(tmp_path, "x = 1\n")
    assert any("cannot be used" in note for note in seen.notes)


@pytest.mark.integration
def test_py_spy_blames_the_call_that_holds_the_interpreter_itself(tmp_path):
    code, seen, beside = run(tmp_path, HOLDS)
    assert (code, beside.why_not) == (0, None)
    line = seen.lines[0]
    assert line.source_line == f"{tmp_path}/main.py:6"
    assert 0.7 < line.total_seconds < 1.8
    assert json.loads((tmp_path / "out/session.json").read_text())["samples"]["samples"] > 30


@pytest.mark.integration
def test_a_script_that_dies_at_once_keeps_its_exit_code_beside_py_spy(tmp_path):
    code, seen, _ = run(tmp_path, "import os, time\ntime.sleep(1.3)\nos._exit(9)\n")
    assert (code, seen.run.how) == (9, "running")
    assert seen.lines[0].source_line == f"{tmp_path}/main.py:2"

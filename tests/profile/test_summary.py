from __future__ import annotations

import json
import os

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.profile.exports import collapsed
from gpudoctor.profile.session import SamplesSeen
from gpudoctor.profile.stacks import functions, lines
from gpudoctor.profile.summary import load_profile
from tests.profile.build import event, session, trace

TORCH = {"version": "2.13.0", "import_seconds": 1.0, "threads": 2}
DONE = {"state": "done", "steps": 1, "seconds": 0.001, "trace": "trace.json"}
SAMPLES = SamplesSeen(
    interval_seconds=0.01,
    samples=5,
    functions=[
        ("main", "/home/me/main.py", 1, True),
        ("Linear.forward", "/lib/site-packages/torch/nn/linear.py", 9, False),
        ("_Iter.__next__", "/lib/site-packages/torch/utils/data/dataloader.py", 3, False),
        ("Set.__getitem__", "/home/me/data.py", 5, True),
    ],
    stacks=[
        (0.5, True, [(0, 4)]),
        (0.25, True, [(1, 10), (0, 4)]),
        (1.0, True, [(3, 6), (2, 30), (0, 3)]),
        (0.125, False, [(0, 2)]),
        (0.5, True, []),
    ],
)


def test_a_session_becomes_a_profile(tmp_path):
    profile = load_profile(session(tmp_path), exit_code=4)
    assert profile.run.exit_code == 4
    assert profile.steps.count == 3
    assert profile.steps.median_seconds == 0.1
    assert profile.findings == ()
    assert "did not import torch" in profile.notes[0]


def test_a_trace_that_is_cut_off_costs_only_what_needs_it(tmp_path):
    session(tmp_path, torch=TORCH, window=DONE)
    (tmp_path / "trace.json").write_text('{"traceEvents": [')
    profile = load_profile(tmp_path)
    assert profile.window is None
    assert profile.steps.count == 3
    assert "trace.json cannot be read" in profile.notes[0]


def test_a_trace_named_outside_of_the_folder_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    trace(outside, [event("aten::mm", 0, 10)])
    session(tmp_path / "s", torch=TORCH, window=DONE | {"trace": "../outside/trace.json"})
    assert load_profile(tmp_path / "s").window is None


def test_too_few_steps_are_said(tmp_path):
    profile = load_profile(session(tmp_path, torch=TORCH))
    assert "before a step could be profiled" in profile.notes[0]


def test_a_process_that_was_gone_is_said(tmp_path):
    profile = load_profile(session(tmp_path, ended={"how": "running"}))
    assert any("its last seconds are missing" in note for note in profile.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('{"format": 99}', "written by a newer gpudoctor"),
        ('{"format": 1}', "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_a_session_that_cannot_be_read_is_an_error(content, message, tmp_path):
    (tmp_path / "session.json").write_text(content)
    with pytest.raises(GpuDoctorError, match=message):
        load_profile(tmp_path)


def test_a_folder_without_a_session_is_an_error(tmp_path):
    with pytest.raises(GpuDoctorError, match="no session"):
        load_profile(tmp_path)


def test_samples_become_lines_of_the_users_code_by_phase():
    seen = {(one.source_line, one.phase): one for one in lines(SAMPLES)}
    assert set(seen) == {
        ("/home/me/main.py:4", "step"),
        ("/home/me/data.py:6", "data"),
        ("/home/me/main.py:2", "start"),
    }
    step = seen["/home/me/main.py:4", "step"]
    assert (step.total_seconds, step.self_seconds, step.torch_seconds) == (0.75, 0.5, 0.25)


def test_a_session_that_names_a_pipe_does_not_hold_us_up(tmp_path):
    pipe = tmp_path / "main.py"
    os.mkfifo(pipe)
    named = [("main", str(pipe), 1, True), ("main", "a\0b.py", 1, True)]
    stacks = [(1.0, True, [(0, 4)]), (1.0, True, [(1, 4)])]
    assert [one.text for one in lines(SamplesSeen(0.01, 2, named, stacks))] == ["", ""]


def test_importing_a_library_is_not_using_it():
    libraries = "/lib/site-packages/torch"
    table = [
        ("_Meta.__new__", f"{libraries}/utils/data/sampler.py", 1, False),
        ("_call_with_frames_removed", "<frozen importlib._bootstrap>", 1, False),
        ("<module>", "/home/me/main.py", 1, True),
    ]
    seen = lines(SamplesSeen(0.01, 1, table, [(1.0, False, [(0, 9), (1, 2), (2, 3)])]))
    assert [one.phase for one in seen] == ["import"]


def test_work_in_processes_that_the_script_started_is_told_where_no_step_was_seen(tmp_path):
    def notes(**changes):
        return [
            note for note in load_profile(session(tmp_path, **changes)).notes if "--pid" in note
        ]

    none = {"steps": {"count": 0, "span_seconds": 0.0, "seconds": []}, "cpu_seconds": 2.0}
    (note,) = notes(**none, children_cpu_seconds=6.0)
    assert "6.00 s of 8.00 s" in note
    assert notes(**none, children_cpu_seconds=1.5) == []
    assert notes(**none, children_cpu_seconds=None) == []
    assert notes(cpu_seconds=2.0, children_cpu_seconds=6.0) == []


def test_a_line_that_sleeps_or_waits_in_the_library_below_it_waits(tmp_path):
    script = tmp_path / "main.py"
    script.write_text("time.sleep(1)\nwork.get()\nasleep(2)\n")
    python = "/usr/lib/python3.11"
    table = [
        ("main", str(script), 1, True),
        ("Condition.wait", f"{python}/threading.py", 280, False),
        ("Queue.get", f"{python}/queue.py", 150, False),
        ("clock_nanosleep@GLIBC_2.17", "libc.so.6", 0, False),
        ("__nanosleep", "libc.so.6", 0, False),
        ("wait", f"{python}/site-packages/other.py", 3, False),
    ]
    stacks = [
        (1.0, True, [(0, 1)]),
        (2.0, True, [(1, 355), (2, 171), (0, 2)]),
        (4.0, True, [(0, 3)]),
        (8.0, True, [(4, 0), (0, 3)]),
        (16.0, True, [(5, 0), (0, 3)]),
        (32.0, True, [(3, 0), (0, 3)]),
    ]
    seen = {one.text: one for one in lines(SamplesSeen(0.01, 6, table, stacks))}
    assert seen["time.sleep(1)"].waiting_seconds == 1.0
    assert seen["work.get()"].waiting_seconds == 2.0
    assert seen["asleep(2)"].waiting_seconds == 8.0 + 32.0


def test_samples_become_functions_by_their_own_time():
    first, *_ = functions(SAMPLES)
    assert (first.name, first.self_seconds, first.total_seconds) == ("Set.__getitem__", 1.0, 1.0)
    main = next(one for one in functions(SAMPLES) if one.name == "main")
    assert (main.self_seconds, main.total_seconds) == (0.625, 1.875)


def test_collapsed_stacks_are_root_first_with_microseconds():
    assert "main (main.py:4);Linear.forward (linear.py:10) 250000\n" in collapsed(SAMPLES)


def test_what_the_codec_writes_has_the_promised_names(tmp_path):
    from gpudoctor.model.codec import envelope, to_builtins

    profile = load_profile(session(tmp_path))
    written = json.loads(envelope("gpudoctor.profile/1", to_builtins(profile)))
    assert written["schema"] == "gpudoctor.profile/1"
    assert {"findings", "run", "steps", "window", "loaders"} <= set(written)


def test_a_busy_machine_is_said(tmp_path):
    profile = load_profile(session(tmp_path / "busy", cpu_wait_seconds=0.5))
    assert any("waited 500 ms for a CPU" in note for note in profile.notes)
    profile = load_profile(session(tmp_path / "idle", cpu_wait_seconds=0.01))
    assert not any("CPU" in note for note in profile.notes)


def test_a_short_run_says_nothing_of_a_busy_machine(tmp_path):
    profile = load_profile(session(tmp_path, wall_seconds=0.0115, cpu_wait_seconds=0.0903))
    assert not any("CPU" in note for note in profile.notes)


def test_the_wait_for_a_cpu_is_never_longer_than_the_run(tmp_path):
    profile = load_profile(session(tmp_path, wall_seconds=2.0, cpu_wait_seconds=3.0))
    assert any("waited 2.00 s for a CPU" in note for note in profile.notes)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ({"how": "finished"}, 0),
        ({"how": "exception", "text": "ValueError: x"}, 1),
        ({"how": "exit", "code": 3}, 3),
        ({"how": "interrupted"}, 130),
        ({"how": "running"}, None),
    ],
)
def test_a_loaded_session_has_the_exit_code_that_the_run_had(ended, code, tmp_path):
    assert load_profile(session(tmp_path, ended=ended)).run.exit_code == code


@pytest.mark.parametrize(
    ("seconds", "plain"),
    [
        ([0.04] * 4 + [0.5, 0.6] + [0.04] * 20, 0.04),
        ([0.04] * 4 + [0.04] * 4 + [0.0002] * 500, None),
        ([0.01, 0.05] * 20, None),
        ([0.04] * 2, None),
    ],
)
def test_the_step_without_the_profiler_is_given_only_where_steps_are_alike(
    seconds, plain, tmp_path
):
    trace(tmp_path, [event("aten::mm", 0, 10)])
    steps = {"count": len(seconds) + 1, "span_seconds": sum(seconds), "seconds": seconds}
    window = DONE | {"first_step": 5, "steps": 2, "plain_step_seconds": 0.04}
    seen = load_profile(session(tmp_path, torch=TORCH, window=window, steps=steps))
    assert seen.window.plain_step_seconds == plain


def test_a_line_that_is_in_two_functions_is_one_line():
    samples = SamplesSeen(
        interval_seconds=0.01,
        samples=2,
        functions=[("main", "/a.py", 1, True), ("main.<listcomp>", "/a.py", 3, True)],
        stacks=[(1.0, True, [(0, 3)]), (2.0, True, [(1, 3), (0, 3)])],
    )
    (line,) = lines(samples)
    assert (line.source_line, line.total_seconds, line.self_seconds) == ("/a.py:3", 3.0, 3.0)


def test_what_the_run_could_use_and_how_torch_was_set_is_kept(tmp_path):
    gpu = {"index": 0, "name": "A100", "capability": [8, 0]}
    settings = {"matmul_tf32": False, "conv_tf32": True, "cudnn_benchmark": True}
    cpu = {"cores": 4, "quota": 2.5, "local_ranks": 2, "omp_num_threads": "1"}
    held = {"file": "/a.py", "function": "main", "line": 3, "name": "kept", "device": "cuda"}
    seen = load_profile(
        session(
            tmp_path,
            torch=TORCH | settings | {"devices": [gpu]},
            cpu=cpu,
            held=[held | {"sizes": [[1, 2, 800], [2, 4, 1600]]}],
        )
    )
    assert (seen.run.cpu_cores, seen.run.cpu_quota, seen.run.local_ranks) == (4, 2.5, 2)
    assert (seen.torch.matmul_tf32, seen.torch.conv_tf32, seen.torch.cudnn_benchmark) == (
        False,
        True,
        True,
    )
    assert seen.torch.devices[0].capability == (8, 0)
    (kept,) = seen.held
    assert (kept.name, kept.source_line, kept.sizes[1]) == ("main: kept", "/a.py:3", (2, 4, 1600))


def test_a_session_from_before_says_nothing_of_them(tmp_path):
    seen = load_profile(session(tmp_path, torch=TORCH))
    assert (seen.run.cpu_cores, seen.run.cpu_quota, seen.torch.matmul_tf32) == (None, None, None)
    assert seen.held == ()


def note_of_a_busy_machine(tmp_path, threads):
    seen = load_profile(
        session(tmp_path, torch=TORCH | {"threads": threads}, cpu_wait_seconds=1.0, cpus=2)
    )
    (note,) = (note for note in seen.notes if "busy" in note)
    return note


def test_on_a_busy_machine_several_threads_are_said_to_wait_for_each_other(tmp_path):
    assert "torch's 2 threads also wait" in note_of_a_busy_machine(tmp_path / "a", 2)
    assert "threads" not in note_of_a_busy_machine(tmp_path / "b", 1)

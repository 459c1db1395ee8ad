from __future__ import annotations

import json

import pytest

from gpudoctor.profile.modules import module_times, read_modules
from gpudoctor.profile.summary import load_profile
from gpudoctor.profile.trace import read_trace
from tests.profile.build import event, session, trace

NET, CONV, HEAD = 0, 1, 2
ROWS = [
    {"root": "Net", "name": "", "kind": "Net"},
    {"root": "Net", "name": "layers.0", "kind": "Conv2d", "parameters": 9, "parameter_bytes": 36},
    {"root": "Net", "name": "head", "kind": "Linear"},
]
# Unix time of the trace's zero, and of the zero of the runner's clock.
BASE_NS, OFFSET_NS = 5_000_000, 4_000_000


def call(module, ts, end, thread=77):
    """A module's call from `ts` to `end`, in the trace's microseconds."""
    shift = BASE_NS - OFFSET_NS
    return [module, thread, ts * 1000 + shift, end * 1000 + shift]


def arrow(number, start, end, tid=77):
    common = {"cat": "fwdbwd", "name": "fwdbwd", "pid": 77, "id": number}
    return [
        {**common, "ph": "s", "tid": 77, "ts": start},
        {**common, "ph": "f", "bp": "e", "tid": tid, "ts": end},
    ]


def write(folder, calls, rows=ROWS, **changes):
    sums = {"calls": 1, "self_ns": 10_000, "total_ns": 20_000, "output_bytes": 64}
    body = {"modules": [sums | row for row in rows], "offset_ns": OFFSET_NS, "calls": calls}
    (folder / "modules.json").write_text(json.dumps(body | changes))


def times(folder, calls, events):
    write(folder, [number for one in calls for number in one])
    read = read_trace(trace(folder, events, BASE_NS), 77)
    return {one.name: one for one in module_times(read_modules(folder), read)}


def micro(seconds):
    return None if seconds is None else round(seconds * 1e6)


def back(seen):
    return {
        name: (micro(one.backward_self_seconds), micro(one.backward_seconds))
        for name, one in seen.items()
    }


def device(seen):
    return {
        name: (micro(one.device_self_seconds), micro(one.device_seconds))
        for name, one in seen.items()
    }


CALLS = [call(NET, 0, 100), call(CONV, 10, 40), call(HEAD, 50, 70)]
FORWARD = [event("aten::conv2d", 15, 20), event("aten::linear", 55, 10), event("aten::sum", 80, 5)]


def test_the_backward_belongs_to_the_module_whose_forward_it_undoes(tmp_path):
    seen = times(
        tmp_path,
        CALLS,
        [
            *FORWARD,
            event("SumBackward0", 200, 7),
            event("AddmmBackward0", 210, 20, tid=99),
            event("ConvolutionBackward0", 240, 50, tid=99),
            event("aten::convolution_backward", 245, 40, tid=99),
            *arrow(1, 80, 200),
            *arrow(2, 55, 210, tid=99),
            *arrow(3, 15, 240, tid=99),
        ],
    )
    assert back(seen) == {"": (7, 77), "layers.0": (50, 50), "head": (20, 20)}
    assert device(seen)[""] == (None, None)


def test_without_a_backward_there_is_none_and_not_zero(tmp_path):
    seen = times(tmp_path, CALLS, FORWARD)
    assert back(seen)["layers.0"] == (None, None)
    assert micro(seen["layers.0"].self_seconds) == 10


def test_a_forward_that_runs_again_inside_the_backward_is_no_backward(tmp_path):
    """As with activation checkpointing."""
    seen = times(
        tmp_path,
        [*CALLS, call(CONV, 220, 240)],
        [
            event("CheckpointFunction", 52, 12),
            event("CheckpointFunctionBackward", 200, 100),
            event("aten::conv2d", 225, 5),
            event("ConvolutionBackward0", 250, 30),
            *arrow(1, 52, 200),
            {**arrow(2, 225, 250)[0]},
            arrow(2, 225, 250)[1],
        ],
    )
    # 100 µs without the 20 of the forward and the 30 of its own backward in it.
    assert back(seen) == {"": (0, 80), "layers.0": (30, 30), "head": (50, 80)}


def test_a_kernel_belongs_to_the_module_whose_operator_launched_it_in_both_directions(tmp_path):
    seen = times(
        tmp_path,
        CALLS,
        [
            event("aten::conv2d", 15, 20, external=1),
            event("aten::sum", 80, 5, external=2),
            event("ConvolutionBackward0", 240, 50, tid=99),
            event("aten::convolution_backward", 245, 40, tid=99, external=3),
            *arrow(3, 15, 240, tid=99),
            event("conv_kernel", 300, 1000, "kernel", tid=7, external=1),
            event("sum_kernel", 1300, 10, "kernel", tid=7, external=2),
            event("dgrad_kernel", 1310, 2000, "kernel", tid=7, external=3),
            event("of_nobody", 4000, 5, "kernel", tid=7, external=9),
        ],
    )
    assert device(seen) == {"": (10, 3010), "layers.0": (3000, 3000), "head": (0, 0)}


def test_a_module_that_calls_itself_counts_once_in_totals(tmp_path):
    seen = times(
        tmp_path,
        [call(NET, 0, 100), call(NET, 10, 90)],
        [
            event("aten::mm", 20, 5, external=1),
            event("mm_kernel", 200, 30, "kernel", tid=7, external=1),
        ],
    )
    assert device(seen)[""] == (30, 30)


def test_modules_of_another_thread_do_not_take_the_main_threads_operators(tmp_path):
    seen = times(
        tmp_path,
        [call(CONV, 0, 100, thread=88), call(HEAD, 50, 70)],
        [
            event("aten::mm", 20, 5, external=1),
            event("mm_kernel", 200, 30, "kernel", tid=7, external=1),
        ],
    )
    assert device(seen)["layers.0"] == (0, 0)


def test_parameters_count_even_where_a_module_is_never_called(tmp_path):
    never = [{**row, "calls": 0} for row in ROWS]
    write(tmp_path, [], never)
    (one,) = module_times(read_modules(tmp_path), None)
    assert (one.name, one.parameters, one.output_bytes) == ("layers.0", 9, None)


@pytest.mark.parametrize(
    "calls", [[7, 77, 1, 2], [0, 77, 1], [-1, 77, 1, 2]], ids=["no such module", "cut", "negative"]
)
def test_calls_that_make_no_sense_are_not_believed(calls, tmp_path):
    write(tmp_path, calls)
    assert read_modules(tmp_path) is None


def loaded(folder, **window):
    seen = {"state": "done", "trace": "trace.json", "steps": 2, "seconds": 1.0} | window
    return load_profile(session(folder, window=seen, torch={"version": "2.13.0"}))


def test_a_profile_has_its_modules_and_says_why_it_has_none(tmp_path):
    trace(tmp_path, FORWARD)
    write(tmp_path, CALLS[0])
    seen = loaded(tmp_path, modules="modules.json")
    assert [one.kind for one in seen.modules] == ["Net", "Conv2d", "Linear"]
    without = loaded(tmp_path, modules_why="the script uses torch.compile")
    assert without.modules == ()
    assert "No modules: the script uses torch.compile." in without.notes


def test_what_the_hooks_took_is_not_taken_for_the_scripts_python(tmp_path):
    trace(tmp_path, FORWARD)
    assert loaded(tmp_path, hook_seconds=0.25).window.seconds == 0.75


def test_modules_outlive_a_trace_that_is_cut_off(tmp_path):
    (tmp_path / "trace.json").write_text('{"traceEvents": [')
    write(tmp_path, CALLS[0])
    seen = loaded(tmp_path, modules="modules.json")
    assert seen.window is None
    assert len(seen.modules) == 3


def test_a_window_in_which_no_step_ended_is_none_and_says_so(tmp_path):
    trace(tmp_path, FORWARD)
    seen = loaded(tmp_path, steps=0)
    assert (seen.window, seen.modules) == (None, ())
    assert "No operators: the script ended in the first step that was profiled." in seen.notes


def test_hooks_that_ran_in_the_backward_leave_no_phase_above_the_window(tmp_path):
    events = [event("autograd::engine::evaluate_function: A", 0, 900_000)]
    trace(tmp_path, events)
    window = loaded(tmp_path, hook_seconds=0.25).window
    assert window.seconds == pytest.approx(0.9)
    assert sum(phase.seconds for phase in window.phases) == pytest.approx(0.9)

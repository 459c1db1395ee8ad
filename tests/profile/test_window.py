from __future__ import annotations

import gzip

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.profile.session import WindowSeen
from gpudoctor.profile.trace import read_trace
from gpudoctor.profile.window import window_of
from tests.profile.build import event, trace

SEEN = WindowSeen(state="done", first_step=5, steps=1, plain_step_seconds=0.001, seconds=1000e-6)


def window(tmp_path, events, seen=SEEN):
    return window_of(read_trace(trace(tmp_path, events), 77), seen)


def phases(seen):
    return {phase.name: round(phase.seconds * 1e6) for phase in seen.phases}


def test_the_phases_of_a_step_add_up_to_the_window(tmp_path):
    seen = window(
        tmp_path,
        [
            event("enumerate(DataLoader)#_S.__next__", 0, 100, "user_annotation"),
            event("aten::stack", 10, 50),
            event("aten::linear", 150, 100),
            event("aten::addmm", 160, 80),
            event("autograd::engine::evaluate_function: A", 300, 50),
            event("aten::mm", 310, 30),
            event("autograd::engine::evaluate_function: B", 400, 100),
            event("Optimizer.step#SGD.step", 600, 200, "user_annotation"),
            event("aten::add_", 650, 100),
        ],
    )
    assert phases(seen) == {
        "data": 100,
        "operators": 100,
        "backward": 200,
        "optimizer": 200,
        "python": 400,
    }
    assert seen.operator_calls == 1
    assert seen.backward_operator_calls == 2


def test_a_closure_inside_an_optimizers_step_is_not_counted_twice(tmp_path):
    seen = window(
        tmp_path,
        [
            event("Optimizer.step#LBFGS.step", 0, 900, "user_annotation"),
            event("Optimizer.zero_grad#LBFGS.zero_grad", 10, 10, "user_annotation"),
            event("autograd::engine::evaluate_function: A", 100, 50),
            event("aten::dot", 200, 200),
            event("Optimizer.zero_grad#LBFGS.zero_grad", 500, 10, "user_annotation"),
            event("autograd::engine::evaluate_function: A", 600, 50),
        ],
    )
    assert phases(seen) == {
        "data": 0,
        "operators": 0,
        "backward": 100,
        "optimizer": 800,
        "python": 100,
    }


def test_what_lies_between_two_backwards_of_one_step_is_neither(tmp_path):
    engine = "autograd::engine::evaluate_function: "
    seen = window(
        tmp_path,
        [
            event("aten::linear", 0, 50),
            event(engine + "A", 60, 40),
            event("aten::mm", 65, 30),
            event("enumerate(DataLoader)#_S.__next__", 110, 90, "user_annotation"),
            event("aten::stack", 120, 50),
            event("aten::linear", 210, 70),
            event(engine + "A", 300, 40),
            event(engine + "B", 350, 50),
            event("Optimizer.step#SGD.step", 600, 100, "user_annotation"),
        ],
    )
    assert phases(seen) == {
        "data": 90,
        "operators": 120,
        "backward": 140,
        "optimizer": 100,
        "python": 550,
    }


def test_one_operator_from_which_the_cpu_was_taken_is_not_a_long_one(tmp_path):
    stretched = [event("aten::select", at * 10, 5) for at in range(9)]
    seen = window(tmp_path, [*stretched, event("aten::select", 100, 800)])
    assert (seen.operator_calls, seen.long_operator_calls) == (10, 0)


def test_operators_of_a_tenth_of_a_millisecond_are_long(tmp_path):
    seen = window(
        tmp_path,
        [
            event("aten::addmm", 0, 100),
            event("aten::select", 200, 99),
            event("aten::mm", 210, 80),
            event("aten::select", 300, 20),
            event("autograd::engine::evaluate_function: A", 400, 150),
            event("autograd::engine::evaluate_function: B", 600, 20),
        ],
    )
    assert (seen.operator_calls, seen.long_operator_calls) == (3, 1)
    assert seen.long_operator_seconds == pytest.approx(100e-6)
    assert (seen.backward_operator_calls, seen.long_backward_calls) == (2, 1)
    assert seen.long_backward_seconds == pytest.approx(150e-6)


def test_backward_in_another_thread_is_not_taken_for_python(tmp_path):
    seen = window(
        tmp_path,
        [
            event("aten::linear", 0, 100),
            event("autograd::engine::evaluate_function: A", 200, 500, tid=99),
        ],
    )
    assert phases(seen)["backward"] == 500
    assert phases(seen)["python"] == 400


def test_an_operators_own_time_is_without_what_it_calls(tmp_path):
    seen = window(
        tmp_path,
        [
            event("aten::linear", 0, 100),
            event("aten::addmm", 10, 60),
            event("aten::copy_", 20, 10),
            event("aten::linear", 200, 10),
        ],
    )
    own = {one.name: (one.calls, round(one.self_cpu_seconds * 1e6)) for one in seen.operators}
    assert own == {"aten::linear": (2, 50), "aten::addmm": (1, 50), "aten::copy_": (1, 10)}
    assert all(one.self_device_seconds is None for one in seen.operators)
    assert seen.device is None


def test_kernels_are_counted_for_the_operator_that_launched_them_and_busy_is_a_union(tmp_path):
    seen = window(
        tmp_path,
        [
            event("aten::mm", 0, 10, external=1),
            event("aten::add", 20, 10, external=2),
            event("gemm", 5, 300, "kernel", tid=7, external=1),
            event("add", 100, 100, "kernel", tid=8, external=2),
            event("Memcpy HtoD (Pageable -> Device)", 500, 50, "gpu_memcpy", tid=7),
            event("Memcpy HtoD (Pinned -> Device)", 560, 40, "gpu_memcpy", tid=7),
            event("cudaStreamSynchronize", 600, 80, "cuda_runtime"),
        ],
        WindowSeen(state="done", steps=1, seconds=1000e-6, device=True),
    )
    device = seen.device
    assert round(device.busy_seconds * 1e6) == 390
    assert (device.kernels, round(device.kernel_seconds * 1e6)) == (2, 400)
    assert (device.copies, round(device.copy_seconds * 1e6)) == (2, 90)
    assert round(device.pageable_copy_seconds * 1e6) == 50
    assert round(device.sync_seconds * 1e6) == 80
    assert {one.name: round(one.self_device_seconds * 1e6) for one in seen.operators} == {
        "aten::mm": 300,
        "aten::add": 100,
    }


def test_what_follows_the_end_of_the_window_is_cut_off(tmp_path):
    path = trace(tmp_path, [event("a", 10, 100), event("b", 60, 5)], base_ns=1_000_000)
    seen = read_trace(path, 77, until_ns=1_000_000 + 50_000)
    assert [(one.name, one.dur) for one in seen.main] == [("a", 40)]


def test_a_compressed_trace_is_read(tmp_path):
    path = trace(tmp_path, [event("a", 10, 100)])
    packed = tmp_path / "trace.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [one.name for one in read_trace(packed, 77).main] == ["a"]


@pytest.mark.parametrize("content", [b"", b'{"traceEvents": [{"ph"', b"\x00\x01", b"[]"])
def test_a_trace_that_is_cut_off_is_an_error_with_a_cause(content, tmp_path):
    (tmp_path / "trace.json").write_bytes(content)
    with pytest.raises(GpuDoctorError) as caught:
        read_trace(tmp_path / "trace.json", 77)
    assert caught.value.cause

from __future__ import annotations

import json

import pytest

from gpudoctor.profile.operators import operator_shapes, operator_times
from gpudoctor.profile.trace import Trace, read_trace
from tests.profile.cuda_trace import CudaTrace

BIG, SMALL = ((512, 256), (256, 128)), ((8, 256), (256, 128))


def read(tmp_path, seen: CudaTrace) -> Trace:
    (tmp_path / "trace.json").write_text(json.dumps({"traceEvents": seen.events}))
    return read_trace(tmp_path / "trace.json", 77)


def products():
    seen = CudaTrace()
    for shapes in (BIG, BIG, SMALL):
        seen.operator("aten::mm", "k", 100.0, shapes=shapes, types=("float", "c10::Half"))
    return seen


def test_operators_of_one_name_are_told_apart_by_their_shapes(tmp_path):
    big, small = operator_shapes(read(tmp_path, products()))
    assert (big.name, big.calls, big.shapes) == ("aten::mm", 2, BIG)
    assert big.types == ("float", "c10::Half")
    assert big.self_device_seconds == pytest.approx(200e-6)
    assert (small.calls, small.shapes) == (1, SMALL)


def test_by_name_and_by_shapes_it_is_the_same_time(tmp_path):
    trace = read(tmp_path, products())
    (whole,) = operator_times(trace)
    parts = operator_shapes(trace)
    assert whole.calls == 3
    assert sum(one.self_cpu_seconds for one in parts) == pytest.approx(whole.self_cpu_seconds)


def test_without_recorded_shapes_there_is_no_table_of_them(tmp_path):
    seen = CudaTrace()
    seen.operator("aten::mm", "k", 100.0)
    assert operator_shapes(read(tmp_path, seen)) == ()


def test_numbers_are_left_out_and_lists_of_tensors_are_counted(tmp_path):
    seen = CudaTrace()
    seen.operator("aten::cat", shapes=([[2], [3]], []), types=("TensorList", "Scalar"))
    seen.events[0]["args"]["Input Dims"] = [[[2], [3]], []]
    (one,) = operator_shapes(read(tmp_path, seen))
    assert (one.types, one.shapes) == (("TensorList",), ((2,),))


@pytest.mark.parametrize("dims", ["x", [1], {"a": 1}, [["a"]], None])
def test_shapes_that_are_none_do_no_harm(tmp_path, dims):
    seen = CudaTrace()
    seen.operator("aten::mm", shapes=((1,),), types=("float",))
    seen.events[0]["args"]["Input Dims"] = dims
    assert len(operator_shapes(read(tmp_path, seen))) <= 1

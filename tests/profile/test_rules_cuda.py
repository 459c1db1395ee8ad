"""Rules about a GPU's work, on traces in the profiler's own layout: what fires, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.model.profile import TorchDevice, TorchFacts
from gpudoctor.profile.rules.registry import findings
from tests.profile.build import RUN, line, profile
from tests.profile.cuda_trace import CudaTrace

FP32 = "ampere_sgemm_128x64_tn"
TF32 = "cutlass_80_tensorop_s1688gemm_128x256_16x3_nt_align4"
HALF = "ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_tn"
MISALIGNED = "cutlass_80_wmma_tensorop_s161616gemm_bf16_16x16_32x1_tn_align2"
CONVOLUTION = "aten::cudnn_convolution"
TURNED = "void cudnn::ops::nchwToNhwcKernel<__half, __half, float, false, true>"
BF16 = ("c10::BFloat16", "c10::BFloat16")


def facts(capability=(8, 0), matmul=False, conv=True, benchmark=False):
    gpu = TorchDevice(0, "A100", capability=capability)
    return TorchFacts(
        "2.13.0",
        cuda_version="13.0",
        matmul_tf32=matmul,
        conv_tf32=conv,
        cudnn_benchmark=benchmark,
        devices=(gpu,),
    )


def seen(tmp_path, trace, torch=None, **changes):
    # These rules are about the GPU: the CPU's Python is left out.
    window = replace(trace.window(tmp_path), python_seconds=0.0)
    given = {"lines": (line(text="y = net(x)"),), **changes}
    return findings(profile(window=window, torch=torch or facts(), **given))


def running(name, kernel, dur, times=4, **given):
    trace = CudaTrace()
    for _ in range(times):
        trace.operator(name, kernel, dur, **given)
    return trace


def test_products_in_fp32_on_a_gpu_with_tf32_are_found(tmp_path):
    (finding,) = seen(tmp_path, running("aten::addmm", FP32, 1500))
    assert (finding.id, finding.source_line) == ("precision.full", "/home/me/main.py:7")
    assert finding.gain_seconds == pytest.approx(0.6 * 10.1 * 2 / 3)
    assert 'set_float32_matmul_precision("high")' in finding.fix.text
    assert "cudnn" not in finding.fix.text
    assert "under aten::addmm" in finding.evidence[0]


def test_a_busy_gpu_does_not_hide_slow_precision(tmp_path):
    (finding,) = seen(tmp_path, running("aten::mm", FP32, 2300))
    assert finding.id == "precision.full"


def test_convolutions_in_fp32_name_cudnns_own_switch(tmp_path):
    trace = running(CONVOLUTION, "ampere_scudnn_128x64_relu_xregs_large_nn_v1", 1500)
    (finding,) = seen(tmp_path, trace, facts(conv=False))
    assert "torch.backends.cudnn.allow_tf32 = True" in finding.fix.text
    assert "matmul" not in finding.fix.text


def test_the_line_that_switches_tf32_off_is_named(tmp_path):
    script = "import torch\ntorch.backends.cuda.matmul.allow_tf32 = False\n"
    (tmp_path / "main.py").write_text(script)
    run = replace(RUN, cwd=str(tmp_path))
    (finding,) = seen(tmp_path, running("aten::mm", FP32, 1500), run=run)
    assert finding.source_line == f"{tmp_path}/main.py:2"


def test_without_tf32_mixed_precision_is_advised(tmp_path):
    (finding,) = seen(tmp_path, running("aten::mm", FP32, 1500), facts(capability=(7, 5)))
    assert "GradScaler" in finding.fix.text
    assert "set_float32" not in finding.fix.text


@pytest.mark.parametrize(
    ("kernel", "dur", "torch"),
    [
        (TF32, 1500, facts()),
        (HALF, 1500, facts()),
        (FP32, 300, facts()),
        (FP32, 1500, facts(capability=(6, 1))),
        (FP32, 1500, facts(capability=None)),
    ],
)
def test_fast_precision_or_none_to_be_had_is_no_finding(tmp_path, kernel, dur, torch):
    assert seen(tmp_path, running("aten::mm", kernel, dur), torch) == ()


def test_sizes_that_are_no_multiples_of_eight_are_named(tmp_path):
    trace = running("aten::mm", HALF, 1000, shapes=((64, 1024), (1024, 50257)), types=BF16)
    (finding,) = seen(tmp_path, trace)
    assert finding.id == "shapes.tensor-cores"
    assert finding.evidence == ("aten::mm of 64×1,024 and 1,024×50,257",)
    assert finding.gain_seconds == pytest.approx(0.4 * 10.1 / 2)


def test_without_shapes_the_kernels_names_tell_of_awkward_sizes(tmp_path):
    (finding,) = seen(tmp_path, running("aten::mm", MISALIGNED, 1000))
    assert finding.id == "shapes.tensor-cores"
    assert "reads 2 elements at once" in finding.evidence[0]
    assert finding.evidence[-1] == "--shapes names the sizes"


@pytest.mark.parametrize(
    ("shapes", "types", "dur"),
    [
        (((64, 1024), (1024, 50304)), BF16, 1000),
        (((63, 1024), (1024, 1)), BF16, 1000),
        (((63, 1023), (1023, 77)), ("float", "float"), 1000),
        (((63, 1023), (1023, 77)), BF16, 200),
    ],
)
def test_sizes_that_fit_or_hardly_matter_are_no_finding(tmp_path, shapes, types, dur):
    assert seen(tmp_path, running("aten::mm", HALF, dur, shapes=shapes, types=types)) == ()


def test_only_the_matrices_of_a_product_and_not_its_bias_count(tmp_path):
    trace = running(
        "aten::addmm",
        HALF,
        1000,
        shapes=((1001,), (64, 1024), (1024, 1000)),
        types=("c10::Half", "c10::Half", "c10::Half"),
    )
    assert seen(tmp_path, trace) == ()


def test_pictures_that_are_turned_around_are_found(tmp_path):
    trace = running(CONVOLUTION, TURNED, 200)
    (finding,) = seen(tmp_path, trace)
    assert (finding.id, finding.gain_seconds) == ("layout.channels-last", pytest.approx(0.808))
    assert "channels_last" in finding.fix.text
    assert finding.evidence == ("4 such kernels, 200 µs a step",)


def test_a_few_turned_pictures_are_no_finding(tmp_path):
    assert seen(tmp_path, running(CONVOLUTION, TURNED, 100)) == ()


def convolutions(*inputs, weight=(64, 3, 7, 7)):
    trace = CudaTrace()
    for shape in inputs:
        types = ("c10::Half", "c10::Half")
        trace.operator(CONVOLUTION, HALF, 100, shapes=(shape, weight), types=types)
    return trace


CHANGING = ((8, 3, 224, 224), (8, 3, 256, 224), (8, 3, 288, 224), (8, 3, 320, 224))


def test_a_search_for_each_new_shape_names_the_line_that_switches_it_on(tmp_path):
    (tmp_path / "main.py").write_text("import torch\n\ntorch.backends.cudnn.benchmark = True\n")
    run = replace(RUN, cwd=str(tmp_path))
    (finding,) = seen(tmp_path, convolutions(*CHANGING), facts(benchmark=True), run=run)
    assert (finding.id, finding.source_line) == ("cudnn.search", f"{tmp_path}/main.py:3")
    assert "4 shapes in 4 steps" in finding.summary
    assert finding.evidence[0] == "8×3×224×224"


@pytest.mark.parametrize(
    ("inputs", "benchmark"),
    [(CHANGING, False), (CHANGING[:1] * 4, True), (CHANGING[:2] * 2, True)],
)
def test_shapes_that_stay_and_a_search_that_is_off_are_no_finding(tmp_path, inputs, benchmark):
    assert seen(tmp_path, convolutions(*inputs), facts(benchmark=benchmark)) == ()


def test_the_layers_of_one_network_are_not_taken_for_changing_shapes(tmp_path):
    trace = CudaTrace()
    for channels in (8, 16, 32, 64):
        shapes = ((8, channels, 56, 56), (channels, channels, 3, 3))
        trace.operator(CONVOLUTION, HALF, 100, shapes=shapes, types=BF16)
    assert seen(tmp_path, trace, facts(benchmark=True)) == ()


def test_memory_asked_of_the_driver_in_every_step_is_found(tmp_path):
    trace = running("aten::mm", HALF, 500)
    for _ in range(4):
        trace.runtime("cudaFree", 300)
        trace.runtime("cudaMalloc", 200)
    lines = (line(5, text="y = net(x)"), line(9, 0.1, text="torch.cuda.empty_cache()"))
    (finding,) = seen(tmp_path, trace, lines=lines)
    assert (finding.id, finding.source_line) == ("memory.churn", "/home/me/main.py:9")
    assert finding.gain_seconds == pytest.approx(0.2 * 10.1)
    assert "8 calls of cudaMalloc and cudaFree in 4 steps" in finding.evidence[0]


@pytest.mark.parametrize(("name", "times"), [("cudaMalloc", 2), ("cudaMallocHost", 8)])
def test_an_allocator_that_grows_once_is_no_finding(tmp_path, name, times):
    trace = running("aten::mm", HALF, 500)
    for _ in range(times):
        trace.runtime(name, 200)
    assert seen(tmp_path, trace) == ()


def test_copies_beside_which_nothing_is_computed_are_found(tmp_path):
    trace = running("aten::mm", HALF, 500)
    for _ in range(4):
        trace.copy("HtoD (Pinned -> Device)", 400)
    lines = (line(5, text="y = net(x)"), line(9, 0.1, text="mask = mask.to(device)"))
    (finding,) = seen(tmp_path, trace, lines=lines)
    assert (finding.id, finding.source_line) == ("copies.exposed", "/home/me/main.py:9")
    assert finding.evidence == ("1 copies a step",)


def test_copies_behind_kernels_are_no_finding(tmp_path):
    trace = CudaTrace()
    for _ in range(4):
        trace.operator("aten::mm", HALF, 500)
        trace.now -= 480
        trace.copy("HtoD (Pinned -> Device)", 400)
        trace.now += 80
    assert seen(tmp_path, trace) == ()


def test_pageable_copies_are_told_once(tmp_path):
    trace = CudaTrace()
    for _ in range(4):
        trace.copy("HtoD (Pageable -> Device)", 400)
    assert [one.id for one in seen(tmp_path, trace)] == ["copies.pageable"]

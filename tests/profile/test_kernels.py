"""Names as cuBLAS, cuDNN and CUTLASS give them to their kernels."""

from __future__ import annotations

import pytest

from gpudoctor.profile.kernels import changes_layout, elements_at_once, precision
from tests.profile.cuda_trace import CudaTrace


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ampere_sgemm_128x64_tn", "fp32"),
        ("volta_sgemm_64x32_sliced1x4_tn", "fp32"),
        ("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize64x64x8_stage3_ffma", "fp32"),
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_256x128_8x4_nt_align1>", "fp32"),
        ("ampere_scudnn_128x64_relu_xregs_large_nn_v1", "fp32"),
        ("void implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1>", "fp32"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x256_16x3_nt_align4>", "tf32"),
        ("sm90_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize128x128x32", "tf32"),
        ("sm80_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc", "tf32"),
        ("ampere_fp16_s16816gemm_fp16_64x64_ldg8_f2f_stages_64x5_nn", "half"),
        ("ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_tn", "half"),
        ("turing_fp16_s1688gemm_fp16_256x128_ldg8_f2f_nn", "half"),
        ("ampere_h16816gemm_128x128", "half"),
        ("volta_h884gemm_64x64_ldg8_nn", "half"),
        ("void implicit_convolve_sgemm<__half, __half, 1024, 5, 5, 3, 3, 3>", "half"),
        ("cutlass_80_wmma_tensorop_s161616gemm_f16_16x16_32x1_tn_align2", "half"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_TNT", None),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>", None),
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL", None),
    ],
)
def test_the_name_of_a_kernel_tells_what_it_multiplies(name, what):
    assert precision(name) == what


def test_the_name_of_a_matrix_kernel_tells_how_much_it_reads_at_once():
    assert elements_at_once("cutlass_80_wmma_tensorop_s161616gemm_f16_16x16_32x1_tn_align2") == 2
    assert elements_at_once("volta_fp16_s884gemm_fp16_256x128_ldg8_f2f_nn") == 8
    assert elements_at_once("sm80_xmma_gemm_f16f16_f16f32_f32_tn_n") is None
    assert elements_at_once("fmha_cutlassF_f16_aligned_64x64_rf_sm80") is None


def test_a_change_of_layout_is_known_by_its_name():
    assert changes_layout("void cudnn::ops::nchwToNhwcKernel<__half, __half, float, false, true>")
    assert changes_layout("void cudnn::engines_precompiled::nhwcToNchwKernel<float, float, float>")
    assert not changes_layout("sm80_xmma_fprop_implicit_gemm_f16_nhwckrsc_nhwc")


def test_kernels_are_summed_by_name_and_by_the_operator_that_launched_them(tmp_path):
    seen = CudaTrace()
    for _ in range(3):
        seen.operator("aten::mm", "ampere_sgemm_128x64_tn", 500)
    seen.operator("aten::bmm", "ampere_sgemm_128x64_tn", 100)
    first, second = seen.window(tmp_path).kernels
    assert (first.operator, first.calls) == ("aten::mm", 3)
    assert first.seconds == pytest.approx(1500e-6)
    assert (second.operator, second.calls) == ("aten::bmm", 1)

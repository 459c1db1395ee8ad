"""Which kernels a GPU ran in the window, and what their names say of their precision and layout."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpudoctor.model.operators import KernelTime
from gpudoctor.profile.trace import Trace

MOST = 100
_US = 1e-6
# cuBLAS, cuDNN and CUTLASS name a kernel after the types it multiplies; nvjet kernels do not tell.
_HALF = re.compile(
    r"(?<![a-z])b?f16|fp16|bf16|__half|bfloat|[_a-z]h(?:1688|884|16816)|hgemm|hmma|hcudnn"
)
_TF32 = re.compile(r"tf32|s1688(?:gemm|cudnn|fprop|dgrad|wgrad)")
_FP32 = re.compile(
    r"sgemm|scudnn|f32f32_f32f32_f32|simt_(?:s(?:fprop|dgrad|wgrad))|convolve_sgemm|gemmSN_\w+<float"
)
_LAYOUT = re.compile(r"nchwToNhwc|nhwcToNchw", re.IGNORECASE)
# How many elements a kernel may read at once: below 8, the matrices are not laid out in eights.
_ALIGNED = re.compile(r"(?:align|ldg)(\d+)")
_GEMM = re.compile(r"gemm|cudnn|fprop|dgrad|wgrad|mma")


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    us: float = 0.0


def kernel_times(trace: Trace) -> tuple[KernelTime, ...]:
    """The kernels of `trace` by name and by the operator that launched them, longest first."""
    launched = {one.external: one.name for one in trace.host if one.external is not None}
    sums: dict[tuple[str, str | None], _Sum] = {}
    for event in trace.device:
        if event.cat != "kernel":
            continue
        name = launched.get(event.external) if event.external is not None else None
        one = sums.setdefault((event.name, name), _Sum())
        one.calls += 1
        one.us += event.dur
    return tuple(
        KernelTime(name, operator, one.calls, one.us * _US)
        for (name, operator), one in sorted(sums.items(), key=lambda item: -item[1].us)
    )[:MOST]


def precision(name: str) -> str | None:
    """What a matrix product or convolution multiplies: half, tf32 or fp32; None: its name does not say."""
    if _HALF.search(name):
        return "half"
    if _TF32.search(name):
        return "tf32"
    return "fp32" if _FP32.search(name) else None


def changes_layout(name: str) -> bool:
    """Whether the kernel only turns NCHW into NHWC or back, which cuDNN does around its convolutions."""
    return _LAYOUT.search(name) is not None


def elements_at_once(name: str) -> int | None:
    """How many elements a matrix kernel reads at once, by its name; None: it does not say."""
    found = _ALIGNED.search(name) if _GEMM.search(name) else None
    return int(found.group(1)) if found else None

"""Matrix products and convolutions in full fp32 on a GPU that has faster ways."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import KernelTime
from gpudoctor.model.profile import Profile, ProfileFinding
from gpudoctor.profile.kernels import precision
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import costliest, loop_seconds, share
from gpudoctor.profile.rules.source import setting_line
from gpudoctor.units import count, duration, percent

LEAST = 0.20
TF32 = (8, 0)
TENSOR_CORES = (7, 0)
# "Up to 3x" is what the Tuning Guide gives for mixed precision; it leaves out the memory-bound rest.
FASTER = 3.0
_SOURCES = (
    "https://docs.pytorch.org/docs/stable/notes/cuda.html",
    "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)
_SETTINGS = (
    "matmul.allow_tf32",
    "cudnn.allow_tf32",
    "matmul.fp32_precision",
    "conv.fp32_precision",
)


@rule("precision.full")
def full(profile: Profile) -> Iterator[ProfileFinding]:
    """Matrix products and convolutions in fp32, without TF32, take a fifth of the step or more."""
    window, torch = profile.window, profile.torch
    if window is None or torch is None or window.device is None:
        return
    capability = min((one.capability for one in torch.devices if one.capability), default=None)
    kernels = [one for one in window.kernels if precision(one.name) == "fp32"]
    part = min(1.0, share(sum(one.seconds for one in kernels), window))
    if capability is None or capability < TENSOR_CORES or part < LEAST:
        return
    line = costliest(profile.lines, "step")
    yield ProfileFinding(
        id="precision.full",
        severity=Severity.WARNING,
        summary=f"Matrix products and convolutions in full fp32 take {percent(part)} of the step.",
        gain_seconds=part * loop_seconds(profile) * (1 - 1 / FASTER),
        source_line=setting_line(profile, *_SETTINGS) or (line.source_line if line else None),
        evidence=tuple(_evidence(profile, kernels)),
        fix=Fix(_advice(profile, kernels, capability)),
        sources=_SOURCES,
    )


def _evidence(profile: Profile, kernels: list[KernelTime]) -> Iterator[str]:
    first, calls = kernels[0], sum(one.calls for one in kernels)
    yield (
        f"{count(calls)} such kernels, most of all {first.name[:60]} "
        f"({duration(first.seconds)} under {first.operator or 'an unknown operator'})"
    )
    half = (
        [one for one in profile.window.kernels if precision(one.name) == "half"]
        if profile.window
        else []
    )
    if half:
        yield f"{duration(sum(one.seconds for one in half))} of others in half precision"


def _advice(profile: Profile, kernels: list[KernelTime], capability: tuple[int, int]) -> str:
    autocast = "torch.autocast" + (
        "(…, dtype=torch.bfloat16)" if capability >= TF32 else " with fp16"
    )
    torch = profile.torch
    if capability < TF32 or torch is None:
        return f"Use {autocast} and a GradScaler: this GPU's tensor cores know fp16, and no TF32."
    ways = []
    convolutions = any("conv" in (one.operator or "") for one in kernels)
    if torch.matmul_tf32 is False and any("conv" not in (one.operator or "") for one in kernels):
        ways.append('torch.set_float32_matmul_precision("high")')
    if torch.conv_tf32 is False and convolutions:
        ways.append("torch.backends.cudnn.allow_tf32 = True")
    if not ways:
        return f"Use {autocast}, where a few digits fewer do no harm."
    return f"Let them use TF32, which keeps 10 bits of the mantissa: {' and '.join(ways)}; or {autocast}."

"""Many operators, each too small for the hardware: starting them costs more than their work."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import costliest, gpu_is_busy, loop_seconds, share
from gpudoctor.units import count, duration, percent

SMALL_OPERATOR_S = 20e-6
SMALL_KERNEL_S = 25e-6
MANY = 100
LEAST = 0.30
_GAP_S = 15e-6
_SOURCES = ("https://horace.io/brrr_intro.html",)


@rule("operators.small")
def small(profile: Profile) -> Iterator[ProfileFinding]:
    """Hundreds of operators a step, of some microseconds each, fill a third of the step or more."""
    window = profile.window
    if window is None or gpu_is_busy(profile) or not window.operator_calls or not window.steps:
        return
    mean = window.operator_seconds / window.operator_calls
    calls = window.operator_calls / window.steps
    lost = _lost(window)
    if mean > SMALL_OPERATOR_S or calls < MANY or share(lost, window) < LEAST:
        return
    if window.device is not None and _mean_kernel(window) > SMALL_KERNEL_S:
        return
    line = costliest(profile.lines, "step")
    yield ProfileFinding(
        id="operators.small",
        severity=Severity.WARNING,
        summary=f"{count(round(calls))} tiny operators a step: starting them takes "
        f"{percent(share(lost, window))} of the time.",
        gain_seconds=share(lost, window) * loop_seconds(profile),
        source_line=None if line is None else line.source_line,
        evidence=(
            f"{duration(mean)} each on average",
            *((f"`{line.text}`",) if line is not None else ()),
        ),
        fix=Fix(
            "Do more in each operator: whole tensors instead of loops over their parts, a bigger "
            'batch, or torch.compile(mode="reduce-overhead").'
        ),
        sources=_SOURCES,
    )


def _lost(window: Window) -> float:
    gaps = min(window.python_seconds, window.operator_calls * _GAP_S)
    return gaps + window.operator_seconds


def _mean_kernel(window: Window) -> float:
    device = window.device
    return device.kernel_seconds / device.kernels if device is not None and device.kernels else 0.0

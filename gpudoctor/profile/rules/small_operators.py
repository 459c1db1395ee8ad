"""Many operators, each too small for the hardware: starting them costs more than their work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding, RunFacts, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import costliest, gpu_is_busy, loop_seconds, share
from gpudoctor.units import count, duration, percent

SMALL_OPERATOR_S = 20e-6
SMALL_KERNEL_S = 25e-6
MANY = 100
LEAST = 0.30
_GAP_S = 15e-6
_LEAST_CPU = 0.25
_SOURCES = ("https://horace.io/brrr_intro.html",)


@rule("operators.small")
def small(profile: Profile) -> Iterator[ProfileFinding]:
    """Hundreds of operators a step, of some microseconds each, fill a third of the step or more."""
    window = profile.window
    if window is None or gpu_is_busy(profile) or not window.steps:
        return
    longest = SMALL_OPERATOR_S / _had_a_cpu(profile.run)
    parts = (_outside(window), _backward(window))
    tiny = [part for part in parts if _is_tiny(part, window, longest)]
    seconds, calls = sum(part.seconds for part in tiny), sum(part.calls for part in tiny)
    lost = seconds + sum(part.gaps_seconds for part in tiny)
    if not tiny or share(lost, window) < LEAST:
        return
    if window.device is not None and _mean_kernel(window) > SMALL_KERNEL_S:
        return
    line = costliest(profile.lines, "step")
    yield ProfileFinding(
        id="operators.small",
        severity=Severity.WARNING,
        summary=f"{count(round(calls / window.steps))} tiny operators a step: starting them takes "
        f"{percent(share(lost, window))} of the time.",
        gain_seconds=share(lost, window) * loop_seconds(profile),
        source_line=None if line is None else line.source_line,
        evidence=(
            f"{duration(seconds / calls)} each on average",
            *((f"`{line.text}`",) if line is not None else ()),
        ),
        fix=Fix(
            "Do more in each operator: whole tensors instead of loops over their parts, a bigger "
            'batch, or torch.compile(mode="reduce-overhead").'
        ),
        sources=_SOURCES,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Operators of the window, in or outside of the backward, and what Python takes between them."""

    calls: int
    seconds: float
    gaps_seconds: float


def _outside(window: Window) -> _Part:
    # A few long ones beside them would make the many look longer than they are, and dearer.
    calls = window.operator_calls - window.long_operator_calls
    seconds = window.operator_seconds - window.long_operator_seconds
    return _Part(calls, max(0.0, seconds), min(window.python_seconds, calls * _GAP_S))


def _backward(window: Window) -> _Part:
    # One call for each node of the graph, which torch's engine starts without Python in between.
    seconds = sum(phase.seconds for phase in window.phases if phase.name == "backward")
    calls = window.backward_operator_calls - window.long_backward_calls
    return _Part(calls, max(0.0, seconds - window.long_backward_seconds), 0.0)


def _is_tiny(part: _Part, window: Window, longest: float) -> bool:
    return part.calls / window.steps >= MANY and part.seconds / part.calls <= longest


def _had_a_cpu(run: RunFacts) -> float:
    """The part of the run in which the main thread did not wait for a CPU, which stretches operators."""
    waited = (run.cpu_wait_seconds or 0.0) / run.wall_seconds if run.wall_seconds else 0.0
    return max(_LEAST_CPU, 1.0 - waited)


def _mean_kernel(window: Window) -> float:
    device = window.device
    return device.kernel_seconds / device.kernels if device is not None and device.kernels else 0.0

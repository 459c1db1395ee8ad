"""What the GPUs themselves say, seen from outside while the script ran: slowed down, or with little to do."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy
from gpudoctor.units import duration, hertz, percent

LEAST_LOOKS = 6
THROTTLED = 0.10
# Below this mean utilisation fournex speaks of an idle GPU; NVML counts any kernel as fully busy.
LITTLE = 0.35
_REASONS = "https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html"


@rule("device.throttled")
def throttled(profile: Profile) -> Iterator[ProfileFinding]:
    """Heat, a power brake or a fault held a GPU's clocks down in a tenth of the looks or more."""
    for gpu in profile.gpus:
        ratio = gpu.throttled_ratio
        if gpu.looks < LEAST_LOOKS or ratio is None or ratio < THROTTLED:
            continue
        yield ProfileFinding(
            id="device.throttled",
            severity=Severity.WARNING,
            summary=f"GPU {gpu.index} was slowed down {percent(ratio)} of the time.",
            gain_seconds=None,
            source_line=None,
            evidence=(
                ", ".join(gpu.throttle_reasons),
                f"mean SM clock {hertz(gpu.sm_clock_mean_hertz)}",
            ),
            fix=Fix(
                "Look at its cooling and its power supply: gpudoctor check.", ("gpudoctor check",)
            ),
            sources=(_REASONS,),
        )


@rule("device.idle")
def idle(profile: Profile) -> Iterator[ProfileFinding]:
    """A GPU that the script holds memory on had work less than a third of the time."""
    for gpu in profile.gpus:
        busy = gpu.utilization_mean_ratio
        if gpu.looks < LEAST_LOOKS or busy is None or busy >= LITTLE or gpu_is_busy(profile):
            continue
        yield ProfileFinding(
            id="device.idle",
            severity=Severity.INFO,
            summary=f"GPU {gpu.index} had work only {percent(busy)} of the time.",
            gain_seconds=None,
            source_line=None,
            evidence=(
                f"{gpu.looks} looks in {duration(gpu.looks * gpu.interval_seconds)}",
                f"idle in {percent(gpu.idle_ratio)} of them",
                *_cause(profile),
            ),
            fix=Fix("Shorten what the CPU does between two kernels, or give the GPU more at once."),
        )


def _cause(profile: Profile) -> Iterator[str]:
    window = profile.window
    if window is None or not window.phases or not window.seconds:
        return
    most = max(window.phases, key=lambda phase: phase.seconds)
    yield f"the step spends {percent(most.seconds / window.seconds)} in {most.name}"

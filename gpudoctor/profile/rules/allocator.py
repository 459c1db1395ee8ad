"""Memory that is asked of the driver in the middle of the steps, instead of being kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import DeviceTime
from gpudoctor.model.profile import Profile, ProfileFinding, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy, line_with, loop_seconds, share
from gpudoctor.profile.rules.source import call_line
from gpudoctor.units import count, duration, percent

LEAST = 0.02
_EMPTIES = re.compile(r"empty_cache\(")
_SOURCES = (
    "https://docs.pytorch.org/docs/stable/notes/cuda.html",
    "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)


@rule("memory.churn")
def churn(profile: Profile) -> Iterator[ProfileFinding]:
    """Steps still allocate or free memory at the driver, once a step or more and 2 % of the time."""
    window = profile.window
    if window is None or window.device is None or gpu_is_busy(profile):
        return
    device = window.device
    part = share(device.allocation_seconds, window)
    if device.allocation_calls < window.steps or part < LEAST:
        return
    line = line_with(profile, _EMPTIES)
    yield ProfileFinding(
        id="memory.churn",
        severity=Severity.WARNING,
        summary=f"The steps ask the driver for memory and give it back: {percent(part)} of the time.",
        gain_seconds=part * loop_seconds(profile),
        source_line=call_line(profile, "empty_cache") or (line.source_line if line else None),
        evidence=(_evidence(window, device),),
        fix=Fix(
            "Take torch.cuda.empty_cache() out of the step; where the sizes change, begin with the longest "
            "one or set PYTORCH_ALLOC_CONF=expandable_segments:True; or use a smaller batch."
        ),
        sources=_SOURCES,
    )


def _evidence(window: Window, device: DeviceTime) -> str:
    calls = f"{count(device.allocation_calls)} calls of cudaMalloc and cudaFree"
    return f"{calls} in {count(window.steps)} steps, {duration(device.allocation_seconds)}"

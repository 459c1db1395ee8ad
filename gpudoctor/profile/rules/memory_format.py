"""Convolutions whose pictures are turned around before and after each of them."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding
from gpudoctor.profile.kernels import changes_layout
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import costliest, loop_seconds, share
from gpudoctor.units import count, duration, percent

LEAST = 0.05
_SOURCES = ("https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",)


@rule("layout.channels-last")
def channels_last(profile: Profile) -> Iterator[ProfileFinding]:
    """cuDNN turns NCHW into NHWC and back for a twentieth of the step or more."""
    window = profile.window
    if window is None or window.device is None:
        return
    kernels = [one for one in window.kernels if changes_layout(one.name)]
    spent, calls = sum(one.seconds for one in kernels), sum(one.calls for one in kernels)
    if share(spent, window) < LEAST:
        return
    line = costliest(profile.lines, "step")
    yield ProfileFinding(
        id="layout.channels-last",
        severity=Severity.WARNING,
        summary=f"Turning NCHW into NHWC and back takes {percent(share(spent, window))} of the step.",
        gain_seconds=share(spent, window) * loop_seconds(profile),
        source_line=None if line is None else line.source_line,
        evidence=(f"{count(calls)} such kernels, {duration(spent / max(1, window.steps))} a step",),
        fix=Fix(
            "Keep them in NHWC: model.to(memory_format=torch.channels_last), and the same for the input."
        ),
        sources=_SOURCES,
    )

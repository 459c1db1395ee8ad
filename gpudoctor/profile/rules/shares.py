"""Quantities that several rules share, and the thresholds' common gate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from gpudoctor.model.profile import LineTime, Profile, RunFacts, Window

# Above this share of a busy GPU no bottleneck is named: measured, healthy training keeps it at 0.97.
BUSY_ENOUGH = 0.8
# Where the main thread itself had to wait for a CPU that long, there is no idle one to use.
CROWDED = 0.25


def loop_seconds(profile: Profile) -> float:
    """Seconds of the run in which the script went through its steps, the first one included."""
    steps = profile.steps
    if steps is None:
        return 0.0
    waited = sum(loader.first_wait_seconds for loader in profile.loaders)
    return steps.span_seconds + (steps.median_seconds or 0.0) + waited


def gpu_is_busy(profile: Profile) -> bool:
    """Whether the window saw the GPU at work nearly all the time."""
    window = profile.window
    if window is None or window.device is None or not window.seconds:
        return False
    return window.device.busy_seconds / window.seconds >= BUSY_ENOUGH


def share(seconds: float, window: Window) -> float:
    """The part of the window that `seconds` of it are."""
    return seconds / window.seconds if window.seconds else 0.0


def costliest(lines: Iterable[LineTime], phase: str) -> LineTime | None:
    """The line of the user's code that took most of `phase`."""
    found = [line for line in lines if line.phase == phase]
    return max(found, key=lambda line: line.total_seconds, default=None)


def line_with(profile: Profile, pattern: re.Pattern[str]) -> LineTime | None:
    """The line of the step that took most of those whose text has `pattern`."""
    found = [line for line in profile.lines if line.phase == "step" and pattern.search(line.text)]
    return max(found, key=lambda line: line.total_seconds, default=None)


def crowded_seconds(run: RunFacts) -> float | None:
    """For how long the main thread had no CPU, where that was a good part of the run; None where not."""
    waited = min(run.cpu_wait_seconds or 0.0, run.wall_seconds)
    return waited if waited > 0 and waited >= CROWDED * run.wall_seconds else None


def cpus_at_hand(run: RunFacts) -> int | None:
    """Whole CPUs that the process may use: those it may run on, or fewer by its control group's quota."""
    if run.cpus is None or run.cpu_quota is None:
        return run.cpus
    return max(1, min(run.cpus, math.floor(run.cpu_quota)))

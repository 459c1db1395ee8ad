"""Python in the main thread takes the time, not torch."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import LineTime, Profile, ProfileFinding, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy, loop_seconds, share
from gpudoctor.units import duration, percent

LEAST = 0.20
# What Python and the profiler itself spend between two operators that directly follow each other.
_BETWEEN_OPERATORS_S = 15e-6


@rule("python.main-thread")
def main_thread(profile: Profile) -> Iterator[ProfileFinding]:
    """At least a fifth of the step is Python that operators' own call overhead does not explain."""
    window, line = profile.window, _line(profile)
    if window is None or line is None or gpu_is_busy(profile):
        return
    own = _unexplained(window)
    if share(own, window) < LEAST:
        return
    loop = loop_seconds(profile)
    yield ProfileFinding(
        id="python.main-thread",
        severity=Severity.WARNING,
        summary=f"Python code holds the step up {percent(share(own, window))} of the time.",
        gain_seconds=share(own, window) * loop,
        source_line=line.source_line,
        evidence=(
            f"{duration(_without_torch(line))} in `{line.text}`",
            f"{duration(own / window.steps)} of a step outside of operators, loader and optimizer",
        ),
        fix=Fix(
            "Move this work out of the step, or do it for the whole batch at once with tensor or "
            "NumPy operations."
        ),
    )


def _unexplained(window: Window) -> float:
    return max(0.0, window.python_seconds - window.operator_calls * _BETWEEN_OPERATORS_S)


def _without_torch(line: LineTime) -> float:
    return line.total_seconds - line.torch_seconds


def _line(profile: Profile) -> LineTime | None:
    found = [line for line in profile.lines if line.phase == "step"]
    return max(found, key=_without_torch, default=None)

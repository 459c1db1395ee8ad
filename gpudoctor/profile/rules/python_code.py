"""Python in the main thread takes the time, not torch."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import LineTime, Profile, ProfileFinding, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy, loop_seconds, share
from gpudoctor.units import duration, percent

LEAST = 0.20
# Five of the samples, one in 10 ms, that name the line: of less they cannot tell.
LEAST_GAIN_S = 0.05
# What Python and the profiler itself spend between two operators that directly follow each other.
_BETWEEN_OPERATORS_S = 15e-6


@rule("python.main-thread")
def main_thread(profile: Profile) -> Iterator[ProfileFinding]:
    """At least a fifth of the step is Python that operators' own call overhead does not explain."""
    window, line = profile.window, _line(profile)
    if window is None or line is None or gpu_is_busy(profile):
        return
    own = _unexplained(window)
    gain = min(share(own, window) * loop_seconds(profile), _sampled(profile))
    if share(own, window) < LEAST or min(gain, without_torch(line)) < LEAST_GAIN_S:
        return
    what = "A wait in the Python code" if waits(line) else "Python code"
    yield ProfileFinding(
        id="python.main-thread",
        severity=Severity.WARNING,
        summary=f"{what} holds the step up {percent(share(own, window))} of the time.",
        gain_seconds=gain,
        source_line=line.source_line,
        evidence=(
            f"{duration(without_torch(line))} in `{line.text}`",
            f"{duration(own / window.steps)} of a step outside of operators, loader and optimizer",
        ),
        fix=advice(line),
    )


def advice(line: LineTime) -> Fix:
    """What to do with a line of Python that holds the main thread up."""
    if waits(line):
        return Fix(
            "Take this wait out of the step, or let another thread wait meanwhile: it computes nothing."
        )
    return Fix(
        "Move this work out of the step, or do it for the whole batch at once with tensor or NumPy "
        "operations."
    )


def waits(line: LineTime) -> bool:
    """Whether the line mostly waits, where torch is not at work below it."""
    return line.waiting_seconds > without_torch(line) / 2


def without_torch(line: LineTime) -> float:
    """Seconds of the line with no torch below it."""
    return line.total_seconds - line.torch_seconds


def _unexplained(window: Window) -> float:
    return max(0.0, window.python_seconds - window.operator_calls * _BETWEEN_OPERATORS_S)


def _sampled(profile: Profile) -> float:
    """What the samples of the whole loop saw of Python, which one slow step of the window cannot stretch."""
    return sum(without_torch(line) for line in profile.lines if line.phase == "step")


def _line(profile: Profile) -> LineTime | None:
    found = [line for line in profile.lines if line.phase == "step"]
    return max(found, key=without_torch, default=None)

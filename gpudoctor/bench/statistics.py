"""Pure statistics of step times: what may be claimed from a few interleaved rounds.

The unit is the process, not the step: steps of one process share its memory layout, its clocks and
its neighbours, so a thousand of them still are one observation. Rounds are paired, which cancels what
drifts more slowly than a round takes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

from gpudoctor.model.bench import Ratio, Timing

CONFIDENCE = 0.95
LEAST_ROUNDS = 3
# Where timings scatter, rounds are added up to this many, so that a report always ends.
MOST_ROUNDS = 15
# An interval wider than this (high by low) would hide a difference that anybody would care for.
UNSTEADY = 1.25


def timing(rounds: Sequence[Sequence[float]]) -> Timing | None:
    """Median and quartiles of all steps (seconds); None without a step."""
    steps = [seconds for times in rounds for seconds in times]
    if not steps:
        return None
    if len(steps) == 1:
        low = high = steps[0]
    else:
        low, _, high = statistics.quantiles(steps, n=4, method="inclusive")
    return Timing(statistics.median(steps), low, high, len(steps), len(rounds))


def speedup(
    baseline: Sequence[float],
    changed: Sequence[float],
    *,
    comparisons: int = 1,
    first: int | None = None,
) -> Ratio | None:
    """How many times as fast `changed` is, from the seconds per step of each round, paired by position.

    The interval is Student's on the logarithms of the paired ratios. `comparisons` is the number of
    settings compared with one baseline in a report: each interval is widened (Bonferroni), so that a
    report in which nothing differs stays without any claim with at least CONFIDENCE.

    `first`: after so many rounds it was decided how many there are to be (`rounds_wanted`). The scatter
    is then that of these alone, with their degrees of freedom: Stein's two stages, whose intervals hold
    though the number of rounds depends on what was measured.

    Returns None with fewer than LEAST_ROUNDS pairs, where no interval means anything.
    """
    pairs = list(zip(baseline, changed, strict=False))
    if len(pairs) < LEAST_ROUNDS:
        return None
    logs = [math.log(before / after) for before, after in pairs]
    middle = statistics.fmean(logs)
    half = _factor(logs[:first], comparisons) / math.sqrt(len(logs))
    return Ratio(
        value=math.exp(middle),
        low=math.exp(middle - half),
        high=math.exp(middle + half),
        rounds=len(logs),
        confidence=CONFIDENCE,
    )


def rounds_wanted(
    baseline: Sequence[float], changed: Sequence[float], *, comparisons: int = 1
) -> int:
    """How many rounds it takes until the interval is no wider than UNSTEADY; at most MOST_ROUNDS.

    Never fewer than there are, and these with fewer than LEAST_ROUNDS.
    """
    logs = [math.log(before / after) for before, after in zip(baseline, changed, strict=False)]
    if len(logs) < LEAST_ROUNDS:
        return len(logs)
    wanted = math.ceil((2 * _factor(logs, comparisons) / math.log(UNSTEADY)) ** 2)
    return max(len(logs), min(wanted, MOST_ROUNDS))


def _factor(logs: Sequence[float], comparisons: int) -> float:
    """Half the interval's width for a single round: Student's quantile times the scatter."""
    level = 1 - (1 - CONFIDENCE) / max(1, comparisons)
    return student_quantile((1 + level) / 2, len(logs) - 1) * statistics.stdev(logs)


def payback_steps(
    extra_warmup_seconds: float | None, baseline_seconds: float, changed_seconds: float
) -> int | None:
    """After how many steps a longer warm-up is earned back; None where a step is not shorter."""
    gain = baseline_seconds - changed_seconds
    if extra_warmup_seconds is None or gain <= 0:
        return None
    return max(0, math.ceil(extra_warmup_seconds / gain))


@lru_cache(maxsize=64)
def student_quantile(probability: float, freedom: int) -> float:
    """The value below which Student's t with `freedom` degrees lies with `probability` (0.5 to 1)."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(value: float, freedom: int) -> float:
    """For value >= 0, by the finite sums for whole degrees of freedom (Abramowitz & Stegun 26.7.3-4)."""
    angle = math.atan(value / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for index in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (index - 1) / index
        total += term
    area = (2 / math.pi) * (angle + sine * total) if odd else sine * total
    return (1 + area) / 2

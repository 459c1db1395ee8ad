"""Does a changed run learn as the unchanged one does? By the losses of its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpudoctor.model.bench import Trajectory

Losses = Sequence[float | None]
# Half precision moves a loss by less; what moves it by more is another training.
_CLOSE = 0.02
# Runs of an unseeded script differ among themselves: a change may differ as much, and a bit more.
_SCATTER = 2.0


def deviation(losses: Losses, reference: Losses) -> float | None:
    """The largest difference of any step, relative to the mean size of the reference's losses.

    None where there are no losses to compare; infinite where only one of them is a number.
    """
    pairs = [
        (a, b) for a, b in zip(losses, reference, strict=False) if a is not None and b is not None
    ]
    if not pairs:
        return None
    if all(_same(a, b) for a, b in pairs):
        return 0.0
    if any(math.isfinite(a) != math.isfinite(b) for a, b in pairs):
        return math.inf
    finite = [(a, b) for a, b in pairs if math.isfinite(a)]
    scale = sum(abs(b) for _, b in finite) / max(1, len(finite))
    return max((abs(a - b) for a, b in finite), default=0.0) / (scale or 1.0)


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def scatter(runs: Sequence[Losses]) -> float | None:
    """How far unchanged runs differ among themselves; None with fewer than two."""
    found = [deviation(run, runs[0]) for run in runs[1:]]
    known = [value for value in found if value is not None]
    return max(known) if known else None


def compare(
    changed: Sequence[Losses], baseline: Sequence[Losses]
) -> tuple[Trajectory | None, float | None]:
    """The verdict over all runs, and the largest deviation."""
    if not baseline:
        return None, None
    found = [deviation(run, baseline[0]) for run in changed]
    known = [value for value in found if value is not None]
    if not known:
        return None, None
    worst = max(known)
    if worst == 0:
        return Trajectory.EQUAL, worst
    allowed = max(_CLOSE, _SCATTER * (scatter(baseline) or 0.0))
    return (Trajectory.CLOSE if worst <= allowed else Trajectory.DIVERGED), worst

"""GPU memory that grows with every step, and no variable of the script is known to keep it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import AllocatedGrowth, Profile, ProfileFinding
from gpudoctor.profile.rules.growth import graph_grows
from gpudoctor.profile.rules.held_memory import tensors_grow
from gpudoctor.profile.rules.registry import rule
from gpudoctor.units import count, data_size

LEAST_BYTES = 32 * 1024**2
# The first steps make the optimizer's state and the caches.
_SETTLED = 8
_LEAST_POINTS = 4
_STEADY = 1.5
_FAQ = "https://docs.pytorch.org/docs/stable/notes/faq.html"


@rule("memory.grows")
def grows(profile: Profile) -> Iterator[ProfileFinding]:
    """After step 8 a GPU's allocated memory grows at an even pace, by 32 MiB or more in all, and neither a
    graph nor a list was found to keep it."""
    if any(map(graph_grows, profile.growth)) or any(map(tensors_grow, profile.held)):
        return
    for growth in profile.allocated:
        points = [point for point in growth.sizes if point[0] >= _SETTLED]
        if not _even(points):
            continue
        (first_step, small), (last_step, big) = points[0], points[-1]
        each = (big - small) / (last_step - first_step)
        yield ProfileFinding(
            id="memory.grows",
            severity=Severity.WARNING,
            summary=f"The memory that torch has allocated on cuda:{growth.index} grows by {data_size(each)} "
            "with every step.",
            gain_seconds=None,
            source_line=None,
            evidence=(
                (
                    f"{data_size(small)} after step {count(first_step)}, {data_size(big)} after step "
                    f"{count(last_step)}"
                ),
                *_room(profile, growth, each),
                "no list, dict or graph of the script's own variables was seen to keep it",
            ),
            fix=Fix(
                "Find what keeps it: a cache, an attribute of a model, a hook or a logger. "
                "--memory-history names the lines that allocated what was live."
            ),
            sources=(_FAQ,),
        )


def _room(profile: Profile, growth: AllocatedGrowth, each: float) -> Iterator[str]:
    for device in profile.torch.devices if profile.torch else ():
        if device.index == growth.index and device.memory_total_bytes:
            left = device.memory_total_bytes - growth.sizes[-1][1]
            yield f"at this pace full after at most {count(max(0, round(left / each)))} more steps"


def _even(points: Sequence[tuple[int, int]]) -> bool:
    if len(points) < _LEAST_POINTS or points[-1][1] - points[0][1] < LEAST_BYTES:
        return False
    rates = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(points)]
    return min(rates) > 0 and max(rates) <= _STEADY * min(rates)

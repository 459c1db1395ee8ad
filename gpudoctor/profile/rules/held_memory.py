"""Tensors that the script itself keeps, more and more of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import HeldGrowth, Profile, ProfileFinding
from gpudoctor.profile.rules.growth import assignment
from gpudoctor.profile.rules.registry import rule
from gpudoctor.units import count, data_size

LEAST_BYTES = 32 * 1024**2
LEAST_STEPS = 8
_FACTOR = 1.4
_FAQ = "https://docs.pytorch.org/docs/stable/notes/faq.html"


@rule("memory.tensors-kept")
def tensors_kept(profile: Profile) -> Iterator[ProfileFinding]:
    """A list or dict of the script grows with every step and holds 32 MiB of tensors or more."""
    kept = {growth.name for growth in profile.growth if growth.sizes[-1][1] > growth.sizes[0][1]}
    growing = [held for held in profile.held if tensors_grow(held) and held.name not in kept]
    worst = max(growing, key=lambda held: held.sizes[-1][2], default=None)
    if worst is None:
        return
    name = worst.name.rpartition(": ")[2]
    (first_step, first, small), (last_step, last, big) = worst.sizes[0], worst.sizes[-1]
    where = "of the GPU's memory" if worst.device == "cuda" else "of host memory"
    yield ProfileFinding(
        id="memory.tensors-kept",
        severity=Severity.WARNING,
        summary=f"`{name}` keeps {data_size((big - small) / (last_step - first_step))} {where} more with "
        "every step.",
        gain_seconds=None,
        source_line=assignment(worst) or worst.source_line,
        evidence=(
            f"{count(first)} entries after step {first_step}, {count(last)} after step {last_step}",
            f"{data_size(big)} of tensors and arrays by then",
        ),
        fix=Fix(
            "Keep what is needed of them, such as a mean or a number, write the rest to a file, or give "
            "it an end: collections.deque(maxlen=…)."
        ),
        sources=(_FAQ,),
    )


def tensors_grow(held: HeldGrowth) -> bool:
    """Whether a container has more entries with every step, and holds 32 MiB or more."""
    if held.sizes[-1][0] < LEAST_STEPS or held.sizes[-1][2] < LEAST_BYTES or len(held.sizes) < 4:
        return False
    return all(after[1] > _FACTOR * before[1] for before, after in pairwise(held.sizes[-4:]))

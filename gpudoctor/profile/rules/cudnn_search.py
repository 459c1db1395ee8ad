"""cuDNN's search for the fastest algorithm, made again for every new shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.source import setting_line
from gpudoctor.units import count

# The share of new shapes from which fournex speaks of volatile shapes.
VOLATILE = 0.30
LEAST_SHAPES = 3
_CONVOLUTION = "aten::cudnn_convolution"
_SOURCES = ("https://docs.pytorch.org/docs/stable/backends.html",)


@rule("cudnn.search")
def search(profile: Profile) -> Iterator[ProfileFinding]:
    """cudnn.benchmark is on, and a convolution's input has a new shape in 30 % of the steps or more."""
    window, torch = profile.window, profile.torch
    if window is None or torch is None or not torch.cudnn_benchmark or not window.steps:
        return
    most = max(_inputs(window), key=len, default=set())
    if len(most) < LEAST_SHAPES or len(most) < VOLATILE * window.steps:
        return
    yield ProfileFinding(
        id="cudnn.search",
        severity=Severity.WARNING,
        summary=f"cudnn.benchmark is on, and one convolution saw {count(len(most))} shapes in "
        f"{count(window.steps)} steps: each new one is searched for anew.",
        gain_seconds=None,
        source_line=setting_line(profile, "cudnn.benchmark"),
        evidence=tuple("×".join(map(str, shape)) for shape in sorted(most)[:3]),
        fix=Fix(
            "Switch torch.backends.cudnn.benchmark off, or pad and crop to a few sizes; gpudoctor bench "
            "measures both.",
            ("gpudoctor bench cudnn",),
        ),
        sources=_SOURCES,
    )


def _inputs(window: Window) -> list[set[tuple[int, ...]]]:
    """The shapes that each convolution was given; one convolution is told from others by its weight."""
    seen: dict[tuple[int, ...], set[tuple[int, ...]]] = defaultdict(set)
    for one in window.shapes:
        if one.name == _CONVOLUTION and len(one.shapes) >= 2:
            seen[one.shapes[1]].add(one.shapes[0])
    return list(seen.values())

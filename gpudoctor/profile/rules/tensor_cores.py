"""Matrices whose sizes the tensor cores cannot take in one go."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import OperatorShape
from gpudoctor.model.profile import Profile, ProfileFinding, Window
from gpudoctor.profile.kernels import elements_at_once, precision
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import costliest, loop_seconds, share
from gpudoctor.units import count, percent

LEAST = 0.10
MULTIPLE = 8
_MATRICES = {"aten::mm": 2, "aten::addmm": 3, "aten::bmm": 2, "aten::baddbmm": 3}
_SOURCES = (
    "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    "https://docs.nvidia.com/deeplearning/performance/dl-performance-matrix-multiplication/index.html",
)


@rule("shapes.tensor-cores")
def shapes(profile: Profile) -> Iterator[ProfileFinding]:
    """Products in half precision with a size that is no multiple of 8 take a tenth of the step or more."""
    window = profile.window
    if window is None or window.device is None:
        return
    spent, evidence = _by_shape(window) if window.shapes else _by_kernel(window)
    part = min(1.0, share(spent, window))
    if part < LEAST:
        return
    line = costliest(profile.lines, "step")
    yield ProfileFinding(
        id="shapes.tensor-cores",
        severity=Severity.WARNING,
        summary=f"Matrices whose sizes are no multiples of {MULTIPLE} take {percent(part)} of the step.",
        gain_seconds=part * loop_seconds(profile) / 2,
        source_line=None if line is None else line.source_line,
        evidence=evidence,
        fix=Fix(
            f"Make the sizes multiples of {MULTIPLE}: pad the vocabulary, the classes, the hidden size or "
            "the sequence."
        ),
        sources=_SOURCES,
    )


def _by_shape(window: Window) -> tuple[float, tuple[str, ...]]:
    bad = [one for one in window.shapes if _awkward(one)]
    bad.sort(key=lambda one: -(one.self_device_seconds or 0.0))
    spent = sum(one.self_device_seconds or 0.0 for one in bad)
    return spent, tuple(f"{one.name} of {_sizes(one)}" for one in bad[:3])


def _awkward(one: OperatorShape) -> bool:
    least = _MATRICES.get(one.name)
    if (
        least is None
        or len(one.shapes) < least
        or one.types[-1] not in ("c10::Half", "c10::BFloat16")
    ):
        return False
    # The last two tensors are the matrices; a product with a vector does not use tensor cores at all.
    sizes = {size for shape in one.shapes[-2:] for size in shape[-2:]}
    return 1 not in sizes and any(size % MULTIPLE for size in sizes)


def _sizes(one: OperatorShape) -> str:
    return " and ".join("×".join(count(size) for size in shape) for shape in one.shapes[-2:])


def _by_kernel(window: Window) -> tuple[float, tuple[str, ...]]:
    """Without shapes: kernels that read fewer than 8 elements at once, as their rows begin anywhere."""
    bad = [
        one
        for one in window.kernels
        if precision(one.name) == "half" and (elements_at_once(one.name) or MULTIPLE) < MULTIPLE
    ]
    spent = sum(one.seconds for one in bad)
    names = [f"{one.name[:80]} reads {elements_at_once(one.name)} elements at once" for one in bad]
    return spent, (*names[:2], "--shapes names the sizes")

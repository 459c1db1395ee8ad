"""Operators by what they were given, and the GPU's kernels: tables of a profile."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from gpudoctor.model.operators import OperatorShape
from gpudoctor.model.profile import Profile
from gpudoctor.render.profile_table import table, title
from gpudoctor.render.text import safe
from gpudoctor.units import count, duration, text

_TOP = 10
_WIDEST = 60


def given(one: OperatorShape) -> str:
    """The tensors of an operator: "half 512×1024, half 1024×10"; neighbours of one type name it once."""
    words: list[str] = []
    before = None
    for kind, shape in zip(one.types, one.shapes, strict=False):
        if kind == "TensorList":
            words.append(f"{count(shape[0] if shape else 0)} tensors")
        else:
            sizes = "×".join(map(str, shape))
            words.append(sizes if kind == before else f"{_type(kind)} {sizes}")
        before = kind
    return ", ".join(words)


def _type(kind: str) -> str:
    return kind.removeprefix("c10::").lower()


def shape_table(profile: Profile) -> Iterator[RenderableType]:
    """What took longest by operator and shapes, where they were recorded (--shapes)."""
    window = profile.window
    if window is None or not window.shapes:
        return
    on_device = window.device is not None
    yield title("Operators by the tensors they were given")
    grid = table(("OPERATOR", "CALLS", "CPU") + (("GPU",) if on_device else ()))
    grid.add_column("TENSORS", overflow="ellipsis")
    for one in window.shapes[:_TOP]:
        device = (duration(one.self_device_seconds),) if on_device else ()
        times = (count(one.calls), duration(one.self_cpu_seconds), *device)
        grid.add_row(safe(one.name), *times, safe(given(one)))
    yield grid


def kernel_table(profile: Profile) -> Iterator[RenderableType]:
    """The kernels that the GPU spent most time in."""
    window = profile.window
    if window is None or not window.kernels:
        return
    yield title("Kernels on the GPU, longest first")
    grid = table(("KERNEL", "CALLS", "TIME"))
    grid.add_column("OPERATOR", no_wrap=True)
    for one in window.kernels[:_TOP]:
        name = one.name if len(one.name) <= _WIDEST else one.name[: _WIDEST - 1] + "…"
        grid.add_row(safe(name), count(one.calls), duration(one.seconds), safe(text(one.operator)))
    yield grid

"""The modules of a profile as the report's treemap and table have them; times are those of one step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from gpudoctor.model.profile import ModuleTime, Profile
from gpudoctor.render.modules import Node, inside, own, per_step, total, tree
from gpudoctor.units import count, data_size, duration, printable

COLOURS = 8
_MOST_ROWS = 1000
_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class Measure:
    """What areas may stand for: `key` is the field of a box's values."""

    key: str
    title: str


def measures(profile: Profile) -> tuple[Measure, ...]:
    """What there is to draw, the most telling first."""
    found = []
    if any(one.device_self_seconds for one in profile.modules):
        found.append(Measure("gpu", "GPU time"))
    found.append(Measure("cpu", "CPU time, forward and backward"))
    if any(one.parameter_bytes for one in profile.modules):
        found.append(Measure("parameters", "parameters"))
    if any(one.output_bytes for one in profile.modules):
        found.append(Measure("outputs", "outputs"))
    return tuple(found)


def classes(profile: Profile) -> tuple[str, ...]:
    """The classes that take most of the time, which get a colour of their own."""
    spent: Counter[str] = Counter()
    for one in profile.modules:
        spent[one.kind] += round(own(one) * 1e9)
    return tuple(kind for kind, _ in spent.most_common(COLOURS))


def boxes(profile: Profile) -> dict[str, Any] | None:
    """The tree of boxes: `n` name, `p` path, `k` number of the class' colour, `v` own values, `t` facts,
    `c` what is in it. None where there is nothing to draw."""
    steps = profile.window.steps if profile.window is not None else 0
    if not profile.modules or not steps:
        return None
    colours = {kind: number for number, kind in enumerate(classes(profile))}
    roots = [_box(node, steps, colours, 0) for node in tree(profile.modules)]
    return {"n": "all modules", "p": "", "k": -1, "v": {}, "t": "", "c": roots}


def _box(node: Node, steps: int, colours: dict[str, int], depth: int) -> dict[str, Any]:
    one = node.module
    below = node.below.values() if depth < _DEEPEST else ()
    return {
        "n": printable(_name(node)),
        "p": printable(node.path),
        "k": -1 if one is None else colours.get(one.kind, -1),
        "v": {} if one is None else _values(one, steps),
        "t": "" if one is None else "\n".join(_facts(one, steps)),
        "c": [_box(child, steps, colours, depth + 1) for child in below],
    }


def _name(node: Node) -> str:
    # The number of a layer in a Sequential says nothing without its class.
    return (
        f"{node.label} {node.module.kind}" if node.label.isdigit() and node.module else node.label
    )


def _values(one: ModuleTime, steps: int) -> dict[str, float]:
    cpu = one.self_seconds + (one.backward_self_seconds or 0.0)
    return {
        "cpu": round(cpu / steps, 9),
        "gpu": round((one.device_self_seconds or 0.0) / steps, 9),
        "parameters": one.parameter_bytes or 0,
        "outputs": (one.output_bytes or 0) * one.calls // steps,
    }


def _facts(one: ModuleTime, steps: int) -> list[str]:
    def timed(whole: float | None, own_part: float | None) -> str:
        if whole is None or own_part is None:
            return duration(None)
        return f"{duration(whole / steps)}, own {duration(own_part / steps)}"

    return [
        f"{printable(one.kind)}, {per_step(one.calls, steps)} calls a step",
        f"forward {timed(one.total_seconds, one.self_seconds)}",
        f"backward {timed(one.backward_seconds, one.backward_self_seconds)}",
        f"GPU {timed(one.device_seconds, one.device_self_seconds)}",
        f"own parameters {count(one.parameters)} ({data_size(one.parameter_bytes)})",
        f"output of a call {data_size(one.output_bytes)}",
    ]


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """A module in the report's table, with times in seconds and calls of one step."""

    path: str
    kind: str
    calls: str
    forward: float
    forward_own: float
    backward: float | None
    backward_own: float | None
    device: float | None
    parameters: int | None
    output_bytes: int | None


def rows(profile: Profile) -> tuple[ModuleRow, ...]:
    """The modules, those that took longest first."""
    steps = profile.window.steps if profile.window is not None else 0
    if not steps:
        return ()
    parameters = inside(profile.modules)
    return tuple(
        ModuleRow(
            path=f"{one.root}.{one.name}" if one.name else one.root,
            kind=one.kind,
            calls=per_step(one.calls, steps),
            forward=one.total_seconds / steps,
            forward_own=one.self_seconds / steps,
            backward=_divided(one.backward_seconds, steps),
            backward_own=_divided(one.backward_self_seconds, steps),
            device=_divided(one.device_seconds, steps),
            parameters=parameters[one.root, one.name],
            output_bytes=one.output_bytes,
        )
        for one in sorted(profile.modules, key=total, reverse=True)[:_MOST_ROWS]
    )


def _divided(seconds: float | None, steps: int) -> float | None:
    return None if seconds is None else seconds / steps

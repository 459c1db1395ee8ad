"""The modules of a profile: as a table for the terminal, and as the tree that the treemap is drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import RenderableType
from rich.text import Text

from gpudoctor.model.profile import ModuleTime, Profile
from gpudoctor.render.profile_table import table, title
from gpudoctor.render.text import safe
from gpudoctor.units import count, data_size, duration

_TOP = 8


@dataclass(slots=True)
class Node:
    """A module in the tree of names; one that is only a name, such as a ModuleList's, has no times."""

    label: str
    path: str
    module: ModuleTime | None = None
    below: dict[str, Node] = field(default_factory=dict)


def tree(modules: tuple[ModuleTime, ...]) -> tuple[Node, ...]:
    """The outermost modules with what is in them, by name."""
    roots: dict[str, Node] = {}
    for one in modules:
        node = roots.setdefault(one.root, Node(one.root, one.root))
        path = one.root
        for part in one.name.split(".") if one.name else ():
            path = f"{path}.{part}"
            node = node.below.setdefault(part, Node(part, path))
        node.module = one
    return tuple(roots.values())


def total(one: ModuleTime) -> float:
    """Forward and backward with all modules in it, in seconds: on the GPU where that was seen."""
    if one.device_seconds is not None:
        return one.device_seconds
    return one.total_seconds + (one.backward_seconds or 0.0)


def own(one: ModuleTime) -> float:
    """The same without the modules that it calls."""
    if one.device_self_seconds is not None:
        return one.device_self_seconds
    return one.self_seconds + (one.backward_self_seconds or 0.0)


def module_table(profile: Profile) -> Iterator[RenderableType]:
    """The modules that took longest, indented by name; times and calls are those of one step."""
    steps = profile.window.steps if profile.window is not None else 0
    if not profile.modules or not steps:
        return
    top = sorted(profile.modules, key=total, reverse=True)[:_TOP]
    rows = list(_rows(tree(tuple(one for one in profile.modules if one in top)), 0))
    device = any(one.device_seconds is not None for one in top)
    yield title("Modules that took longest, with the modules in them (one step)")
    grid = table(
        ("MODULE", "CLASS", "CALLS", "FORWARD", "BACKWARD")
        + (("GPU",) if device else ())
        + ("PARAMETERS", "OUTPUT")
    )
    grid.columns[1].justify = "left"
    parameters = inside(profile.modules)
    for depth, name, one in rows:
        grid.add_row(
            Text("  " * depth) + safe(name),
            safe(one.kind),
            per_step(one.calls, steps),
            duration(one.total_seconds / steps),
            duration(_divided(one.backward_seconds, steps)),
            *((duration(_divided(one.device_seconds, steps)),) if device else ()),
            count(parameters[one.root, one.name]),
            data_size(one.output_bytes),
        )
    yield grid


def _rows(nodes: tuple[Node, ...], depth: int) -> Iterator[tuple[int, str, ModuleTime]]:
    for node in sorted(nodes, key=_largest, reverse=True):
        yield from _row(node, depth, node.label)


def _row(node: Node, depth: int, name: str) -> Iterator[tuple[int, str, ModuleTime]]:
    if node.module is not None:
        yield depth, name, node.module
        depth, name = depth + 1, ""
    for child in sorted(node.below.values(), key=_largest, reverse=True):
        yield from _row(child, depth, f"{name}.{child.label}" if name else child.label)


def _largest(node: Node) -> float:
    if node.module is not None:
        return total(node.module)
    return max((_largest(child) for child in node.below.values()), default=0.0)


def inside(modules: tuple[ModuleTime, ...]) -> dict[tuple[str, str], int | None]:
    """The parameters of each module with those in it."""
    sums: dict[tuple[str, str], int | None] = {}
    for one in modules:
        path = (one.root, one.name)
        sums.setdefault(path, None)
        for around in _around(one.name):
            if one.parameters is not None:
                sums[one.root, around] = (sums.get((one.root, around)) or 0) + one.parameters
    return sums


def _around(name: str) -> Iterator[str]:
    yield name
    while name:
        name = name.rpartition(".")[0]
        yield name


def per_step(calls: int, steps: int) -> str:
    """Calls in one of `steps` steps, with a decimal where they do not divide."""
    return count(calls // steps) if calls % steps == 0 else f"{calls / steps:.1f}"


def _divided(seconds: float | None, steps: int) -> float | None:
    return None if seconds is None else seconds / steps

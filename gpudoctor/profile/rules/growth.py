"""Memory that grows with every step, for an autograd graph is kept alive."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Growth, Profile, ProfileFinding, StepTimes
from gpudoctor.profile.rules.registry import rule
from gpudoctor.units import count, data_rate

_FACTOR = 1.4
_ADDERS = ("append", "extend", "insert", "add")
_LEAST_POINTS = 3
_LEAST_STEPS = 8
_FAQ = "https://docs.pytorch.org/docs/stable/notes/faq.html"


@rule("memory.graph-kept")
def graph_kept(profile: Profile) -> Iterator[ProfileFinding]:
    """A variable reaches an autograd graph that grows with the number of steps."""
    growing = [growth for growth in profile.growth if _grows(growth)]
    if not growing:
        return
    worst = max(growing, key=lambda growth: growth.sizes[-1][1])
    name = worst.name.rpartition(": ")[2]
    (first_step, first), (last_step, last) = worst.sizes[0], worst.sizes[-1]
    rate = _memory_rate(profile)
    yield ProfileFinding(
        id="memory.graph-kept",
        severity=Severity.ERROR,
        summary=f"`{name}` keeps the autograd graph of every step alive: memory grows until it is full.",
        gain_seconds=_slowdown(profile.steps),
        source_line=assignment(worst) or worst.source_line,
        evidence=(
            f"{count(first)} graph nodes after step {first_step}, {count(last)} after step {last_step}",
            *((f"host memory grew by {data_rate(rate)}",) if rate else ()),
        ),
        fix=Fix(
            f"Keep the number, not the graph: use {name} with .detach(), or .item() now and then."
        ),
        sources=(_FAQ,),
    )


def _grows(growth: Growth) -> bool:
    sizes = growth.sizes
    if sizes[-1][0] < _LEAST_STEPS:
        return False
    rising = [after > _FACTOR * before for (_, before), (_, after) in pairwise(sizes)]
    # A very big graph is only counted up to a limit, where it stops to rise.
    first_flat = rising.index(False) if False in rising else len(rising)
    return first_flat >= _LEAST_POINTS and not any(rising[first_flat:])


def _slowdown(steps: StepTimes | None) -> float | None:
    if steps is None or len(steps.series) < 20:
        return None
    tenth = sorted(steps.series[: len(steps.series) // 5])
    lost = steps.span_seconds - steps.count * tenth[len(tenth) // 2]
    return lost if lost > 0.1 * steps.span_seconds else None


def _memory_rate(profile: Profile) -> float | None:
    points = profile.memory[len(profile.memory) // 3 :]
    if len(points) < 3 or points[-1].at <= points[0].at:
        return None
    grown = points[-1].resident_bytes - points[0].resident_bytes
    return grown / (points[-1].at - points[0].at) if grown > 0 else None


def assignment(growth: Growth) -> str | None:
    """Where the function of `growth` adds to its variable, as "file:line"; None where that is not seen."""
    file, _, first = growth.source_line.rpartition(":")
    function, _, name = growth.name.rpartition(": ")
    try:
        tree: ast.AST = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            decorated = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if decorated == int(first):
                tree = node
                break
    found = [line for line, text in _additions(tree) if _same(text, name)]
    return f"{file}:{found[0]}" if found else None


def _additions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            yield node.lineno, ast.unparse(node.target)
        elif isinstance(node, ast.Assign):
            # `total = total + loss`: only what also reads the variable can make it grow.
            read = {
                ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.expr)
            }
            for target in node.targets:
                if ast.unparse(target) in read:
                    yield node.lineno, ast.unparse(target)
        elif isinstance(node, ast.Call) and _adds(node.func):
            yield node.lineno, ast.unparse(node.func.value)


def _adds(function: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(function, ast.Attribute) and function.attr in _ADDERS


def _same(left: str, right: str) -> bool:
    return re.sub(r"[\"'\s]", "", left) == re.sub(r"[\"'\s]", "", right)

"""Memory that grows with every step, for an autograd graph is kept alive."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeGuard

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Growth, HeldGrowth, MemoryPoint, Profile, ProfileFinding
from gpudoctor.profile.rules.registry import rule
from gpudoctor.units import count, data_size

_FACTOR = 1.4
_ADDERS = ("append", "extend", "insert", "add")
_LEAST_POINTS = 3
_MOST_NAMED = 3
_LEAST_STEPS = 8
_LEAST_MEMORY_POINTS = 9
# Thirds of the loop that differ by more than this have no one number of bytes per step.
_STEADY = 1.5
_FAQ = "https://docs.pytorch.org/docs/stable/notes/faq.html"


@rule("memory.graph-kept")
def graph_kept(profile: Profile) -> Iterator[ProfileFinding]:
    """A variable reaches an autograd graph that grows with the number of steps."""
    growing = [growth for growth in profile.growth if graph_grows(growth)]
    if not growing:
        return
    worst, *others = sorted(growing, key=lambda growth: -growth.sizes[-1][1])
    name = worst.name.rpartition(": ")[2]
    (first_step, first), (last_step, last) = worst.sizes[0], worst.sizes[-1]
    nodes, size = _nodes_per_step(worst), _bytes_per_step(profile)
    yield ProfileFinding(
        id="memory.graph-kept",
        severity=Severity.ERROR,
        summary=f"`{name}` keeps the autograd graph of every step alive: memory grows until it is full.",
        gain_seconds=None,
        source_line=assignment(worst) or worst.source_line,
        evidence=(
            f"{count(first)} graph nodes after step {first_step}, {count(last)} after step {last_step}",
            f"about {count(nodes)} more nodes with every step",
            *((f"host memory grows by {data_size(size)} per step",) if size else ()),
            *((f"so {_do(others)} {_named(others, profile.run.cwd)}",) if others else ()),
        ),
        fix=Fix(
            f"Keep the number, not the graph: what goes into {name} needs .detach(), or .item()."
        ),
        sources=(_FAQ,),
    )


def _do(others: Sequence[Growth]) -> str:
    return "does" if len(others) == 1 else "do"


def _named(others: Sequence[Growth], cwd: str) -> str:
    named = []
    for growth in others[:_MOST_NAMED]:
        place = (assignment(growth) or growth.source_line).removeprefix(f"{cwd}/")
        named.append(f"`{growth.name.rpartition(': ')[2]}` ({place})")
    more = len(others) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def graph_grows(growth: Growth) -> bool:
    """Whether a variable reaches ever more of the graph, as far as that was counted."""
    sizes = growth.sizes
    if sizes[-1][0] < _LEAST_STEPS:
        return False
    rising = [after > _FACTOR * before for (_, before), (_, after) in pairwise(sizes)]
    # A very big graph is only counted up to a limit, where it stops to rise.
    first_flat = rising.index(False) if False in rising else len(rising)
    return first_flat >= _LEAST_POINTS and not any(rising[first_flat:])


def _nodes_per_step(growth: Growth) -> int:
    # Where the counting stopped at its limit, the last numbers say nothing of the growth.
    rising = [point for before, point in pairwise(growth.sizes) if point[1] > _FACTOR * before[1]]
    (first_step, first), (last_step, last) = growth.sizes[0], rising[-2]
    return round((last - first) / (last_step - first_step))


def _bytes_per_step(profile: Profile) -> float | None:
    """What host memory gains with a step; None where it does not grow at an even pace."""
    steps = profile.steps
    if steps is None or not steps.count or not profile.memory:
        return None
    since = profile.memory[-1].at - 0.75 * steps.span_seconds
    points = [point for point in profile.memory if point.at >= since]
    third = len(points) // 3
    if len(points) < _LEAST_MEMORY_POINTS or not _even(steps.series):
        return None
    rates = [_rate(points[start : start + third + 1]) for start in (0, third, len(points) - third)]
    if min(rates) <= 0 or max(rates) > _STEADY * min(rates):
        return None
    return _rate(points) * steps.span_seconds / steps.count


def _even(series: tuple[float, ...]) -> bool:
    half = len(series) // 2
    if not half:
        return False
    early, late = statistics.median(series[:half]), statistics.median(series[half:])
    return max(early, late) <= _STEADY * min(early, late)


def _rate(points: Sequence[MemoryPoint]) -> float:
    seconds = points[-1].at - points[0].at
    return (points[-1].resident_bytes - points[0].resident_bytes) / seconds if seconds > 0 else 0.0


def assignment(growth: Growth | HeldGrowth) -> str | None:
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

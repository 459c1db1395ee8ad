"""Lays sampled stacks out as a flame graph: boxes in percent of the width, the root at the top."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gpudoctor.profile.session import SamplesSeen

_LEAST_PERCENT = 0.15
_DEEPEST = 48
_IMPORT = "<frozen importlib"


@dataclass(frozen=True, slots=True)
class Box:
    """A function in one place of the call tree; `left` and `width` in percent, `kind` user, torch,
    import or library."""

    name: str
    place: str
    kind: str
    depth: int
    left: float
    width: float
    seconds: float


@dataclass(slots=True)
class _Node:
    seconds: float = 0.0
    below: dict[tuple[str, str, str], _Node] = field(default_factory=dict)


def boxes(samples: SamplesSeen) -> tuple[Box, ...]:
    """The boxes wide enough to be seen."""
    root = _tree(samples)
    return tuple(_laid_out(root, 0.0, 0, root.seconds)) if root.seconds else ()


def _tree(samples: SamplesSeen) -> _Node:
    root = _Node()
    for weight, _, frames in samples.stacks:
        if not frames:
            continue
        root.seconds += weight
        node, last = root, ""
        for index, _ in reversed(frames[-_DEEPEST:]):
            name, file, line, user = samples.functions[index]
            if file.startswith(_IMPORT):
                # The import system's own frames come in dozens and say nothing.
                name, file, line = "import", _IMPORT, 0
                if last == _IMPORT:
                    continue
            last = file
            key = (name, f"{file}:{line}" if line else "", _kind(file, user))
            node = node.below.setdefault(key, _Node())
            node.seconds += weight
    return root


def _kind(file: str, user: bool) -> str:
    if user:
        return "user"
    if file == _IMPORT:
        return "import"
    return "torch" if "/torch/" in file else "library"


def _laid_out(node: _Node, left: float, depth: int, whole: float) -> Iterator[Box]:
    for (name, place, kind), child in sorted(node.below.items(), key=lambda item: -item[1].seconds):
        width = 100.0 * child.seconds / whole
        if width >= _LEAST_PERCENT:
            yield Box(name, place, kind, depth, round(left, 3), round(width, 3), child.seconds)
            yield from _laid_out(child, left, depth + 1, whole)
        left += width

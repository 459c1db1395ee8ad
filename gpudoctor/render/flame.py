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
        node = root
        for index, _ in reversed(frames[-_DEEPEST:]):
            name, file, line, user = samples.functions[index]
            # The import system's own frames say nothing; the module that they run says it all.
            if not file.startswith(_IMPORT):
                key = (_shown(name, file), f"{file}:{line}", _kind(name, file, user))
                node = node.below.setdefault(key, _Node())
                node.seconds += weight
    return root


def _shown(name: str, file: str) -> str:
    return "/".join(file.split("/")[-2:]) if name == "<module>" else name


def _kind(name: str, file: str, user: bool) -> str:
    if user:
        return "user"
    if name == "<module>":
        return "import"
    return "torch" if "/torch/" in file else "library"


def _laid_out(node: _Node, left: float, depth: int, whole: float) -> Iterator[Box]:
    for (name, place, kind), child in sorted(node.below.items(), key=lambda item: -item[1].seconds):
        width = 100.0 * child.seconds / whole
        if width >= _LEAST_PERCENT:
            yield Box(name, place, kind, depth, round(left, 3), round(width, 3), child.seconds)
            yield from _laid_out(child, left, depth + 1, whole)
        left += width

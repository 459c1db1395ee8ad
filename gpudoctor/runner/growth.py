"""Looks for variables that keep an ever longer autograd graph alive."""

from __future__ import annotations

import inspect
import sys
import time
from types import FrameType
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from .code_paths import is_user
from .held import Held

_MOST_NODES = 50_000
_MOST_SHARE = 0.01
_MOST_NAMES = 300
_MOST_VARIABLES = 1_000
Key = Tuple[str, str, int, str]


class GrowthProbe:
    """Measures, after steps 1, 2, 4, 8, …, how many graph nodes each of the script's variables reaches."""

    def __init__(self) -> None:
        self.seen: Dict[Key, List[List[int]]] = {}
        self.held = Held()
        self._next = 1
        self._spent = 0.0
        self._begun = time.perf_counter()
        self._budget = 0

    def after_step(self, count: int) -> None:
        """A step has ended; called in the thread, and below the frames, of the script's loop."""
        if count < self._next:
            return
        self._next = count * 2
        begun = time.perf_counter()
        if self._spent > 0.05 + _MOST_SHARE * (begun - self._begun):
            return
        self._budget = _MOST_NODES
        tensor = getattr(sys.modules.get("torch"), "Tensor", None)
        frame: Optional[FrameType] = sys._getframe(1)
        while tensor is not None and frame is not None:
            if is_user(frame.f_code.co_filename):
                self._measure(count, frame, tensor)
            frame = frame.f_back
        self._spent += time.perf_counter() - begun

    def _measure(self, count: int, frame: FrameType, tensor: Any) -> None:
        code = frame.f_code
        values = frame.f_locals
        place = (code.co_filename, code.co_name, code.co_firstlineno)
        for name, value in _variables(dict(values)):
            self.held.measure(count, place, name, value)
        for name, roots in _holders(dict(values), tensor):
            key = (*place, name)
            if self._budget > 0 and (key in self.seen or len(self.seen) < _MOST_VARIABLES):
                reached = _reached(roots, self._budget)
                self._budget -= reached
                self.seen.setdefault(key, []).append([count, reached])
        if isinstance(values, dict) and code.co_flags & inspect.CO_OPTIMIZED:
            # Before Python 3.13 the frame keeps this copy, which would hold its tensors alive.
            values.clear()

    def as_list(self) -> List[Dict[str, Any]]:
        """What was measured, one entry for each variable that was seen more than once."""
        return [
            {"file": key[0], "function": key[1], "line": key[2], "name": key[3], "sizes": sizes}
            for key, sizes in self.seen.items()
            if len(sizes) > 1
        ]


def _holders(values: Dict[str, Any], tensor: Any) -> Iterator[Tuple[str, List[Any]]]:
    for label, one in _variables(values):
        roots = _roots(one, tensor)
        if roots:
            yield label, roots


def _variables(values: Dict[str, Any]) -> Iterator[Tuple[str, Any]]:
    for name, value in list(values.items())[:_MOST_NAMES]:
        yield from _with_parts(name, value)


def _with_parts(name: str, value: Any) -> Iterator[Tuple[str, Any]]:
    yield name, value
    if type(value) is dict:
        for key, part in list(value.items())[:_MOST_NAMES]:
            if isinstance(key, str):
                yield f"{name}[{key!r}]", part
    elif name == "self":
        for key, part in list(vars(value).items() if hasattr(value, "__dict__") else [])[
            :_MOST_NAMES
        ]:
            yield f"self.{key}", part


def _roots(value: Any, tensor: Any) -> List[Any]:
    parts = value if type(value) in (list, tuple) else [value]
    return [
        part.grad_fn
        for part in list(parts)[-_MOST_NODES:]
        if isinstance(part, tensor) and part.grad_fn is not None
    ]


def _reached(roots: List[Any], most: int) -> int:
    seen: Set[Any] = set(roots)
    todo = list(roots)
    while todo and len(seen) < most:
        for node, _ in todo.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                todo.append(node)
    return len(seen)

"""Tracebacks as plain python prints them: without the runner's frames."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Optional, Set, Type

from .code_paths import is_runner

_STARTERS = ("<frozen runpy>", "<frozen importlib._bootstrap>", "runpy.py")


def install() -> None:
    """Wrap the excepthook that is set now; for the moment when the script has ended with an exception."""
    printed = sys.excepthook

    def hook(
        kind: Type[BaseException], error: BaseException, _trace: Optional[TracebackType]
    ) -> None:
        clean(error)
        printed(kind, error, error.__traceback__)

    sys.excepthook = hook


def clean(error: BaseException) -> None:
    """Take the runner's frames out of `error` and out of what it was caused by."""
    seen: Set[int] = set()
    todo: Any = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _without_runner(one.__traceback__)
        todo += [one.__cause__, one.__context__]


def _without_runner(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    if any(is_runner(name) for name in _files(trace)):
        while trace is not None and (_starts(trace) or is_runner(_file(trace))):
            trace = trace.tb_next
    link = trace
    while link is not None:
        link.tb_next = _after_ours(link.tb_next)
        link = link.tb_next
    return trace


def _after_ours(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    # Python hides the frames of an import, but not where the runner's watch stands between them.
    end = trace
    while end is not None and _file(end).startswith("<frozen importlib"):
        end = end.tb_next
    if end is None or not is_runner(_file(end)):
        return trace
    while end is not None and is_runner(_file(end)):
        end = end.tb_next
    return _after_ours(end)


def _files(trace: Optional[TracebackType]) -> "list[str]":
    names = []
    while trace is not None:
        names.append(_file(trace))
        trace = trace.tb_next
    return names


def _file(trace: TracebackType) -> str:
    return trace.tb_frame.f_code.co_filename


def _starts(trace: TracebackType) -> bool:
    return _file(trace).endswith(_STARTERS)

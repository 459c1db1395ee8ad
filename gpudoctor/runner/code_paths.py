"""Which files are the user's own, and which belong to Python, to a library or to the runner."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType
from typing import Dict, Optional, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
_LIBRARY = tuple(
    {
        os.path.realpath(path) + os.sep
        for key in ("stdlib", "platstdlib")
        for path in (sysconfig.get_paths().get(key),)
        if path
    }
)
_known: Dict[str, bool] = {}


def is_runner(filename: str) -> bool:
    """Whether the file is one of the runner's."""
    return filename.startswith(HERE)


def count_as_user(filename: str) -> None:
    """Take `filename` for the user's, as "<string>" is for `-c` and for nothing else."""
    _known[filename] = True


def is_user(filename: str) -> bool:
    """Whether the file is neither Python's, nor an installed package's, nor the runner's."""
    known = _known.get(filename)
    if known is None:
        known = _known[filename] = _is_user(filename)
    return known


def _is_user(filename: str) -> bool:
    if filename.startswith("<") or is_runner(filename):
        return False
    if "/site-packages/" in filename or "/dist-packages/" in filename:
        return False
    return not os.path.realpath(filename).startswith(_LIBRARY)


def user_frame(frame: Optional[FrameType]) -> Optional[FrameType]:
    """The innermost frame, from `frame` outwards, that runs the user's own code."""
    while frame is not None and not is_user(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def user_line(depth: int = 2) -> Optional[Tuple[str, int]]:
    """File and line of the user's code that called; `depth` frames up from here is where to begin."""
    frame = user_frame(sys._getframe(depth))
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno or 0)

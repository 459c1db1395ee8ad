"""How the C library keeps the daemon's memory."""

from __future__ import annotations

import ctypes
import os

# From glibc's malloc.h.
_M_ARENA_MAX = -8


def one_arena() -> None:
    """Let all threads share one arena of malloc; to be called before they are started.

    glibc gives each of some threads an arena of its own, and what is free in one is of no use to the
    others: a daemon that holds the same for ever then grows for hours. MALLOC_ARENA_MAX in the
    environment has its way.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    # Other C libraries have no arenas, and no such function.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)

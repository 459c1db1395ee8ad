"""The processors on which a thread can be borrowed, and the one that this machine has."""

from __future__ import annotations

import os

from gpudoctor.reclaim.aarch64 import AARCH64
from gpudoctor.reclaim.architecture import Architecture
from gpudoctor.reclaim.x86_64 import X86_64

KNOWN = {one.name: one for one in (X86_64, AARCH64)}


def here() -> Architecture | None:
    """This machine's, None where nothing is written for it."""
    return KNOWN.get(os.uname().machine)


def why_not(machine: str) -> str | None:
    """Why no process is entered on `machine` (as uname names it), None where it is done."""
    known = KNOWN.get(machine)
    if known is None:
        return f"no way into a process is written for {machine}"
    if not known.tested:
        return f"the way into a process is tested on an emulated {machine} only, not on a real one"
    return None

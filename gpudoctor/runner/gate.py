"""Waits, before the script's first line, for a sampler outside of this process to be ready."""

from __future__ import annotations

import os
import socket

_PR_SET_PTRACER = 0x59616D61
_PATIENCE_S = 20.0


def sampled_outside(descriptor: int) -> bool:
    """Whether the other end of the socket looks at this process from now on; its descriptor is closed."""
    parent = os.getppid()
    _allow(parent)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _allow(parent))
    try:
        with socket.socket(fileno=descriptor) as line:
            line.settimeout(_PATIENCE_S)
            line.sendall(b"r")
            return line.recv(1) == b"y"
    except OSError:
        return False


def _allow(tracer: int) -> None:
    """Where the kernel lets only ancestors look into a process, lets `tracer` and its children do so."""
    if not os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, tracer, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass

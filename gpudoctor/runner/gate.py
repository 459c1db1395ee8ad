"""Waits, before the script's first line, for a sampler outside of this process to be ready."""

from __future__ import annotations

import os
import socket
import struct
from typing import Tuple, Union

_PR_SET_PTRACER = 0x59616D61
_PATIENCE_S = 20.0


def sampled_outside(way: Union[int, str], folder: str) -> bool:
    """Whether the other end of a socket looks at this process from now on: `way` is its descriptor, which
    will be closed, or the address to call, where a rank says its name, that of its `folder`."""
    try:
        line, other = _called(way, folder) if isinstance(way, str) else _inherited(way)
        with line:
            _allow(other)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=lambda: _allow(other))
            line.settimeout(_PATIENCE_S)
            line.sendall(b"r")
            return line.recv(1) == b"y"
    except OSError:
        return False


def _inherited(descriptor: int) -> Tuple[socket.socket, int]:
    return socket.socket(fileno=descriptor), os.getppid()


def _called(address: str, folder: str) -> Tuple[socket.socket, int]:
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(_PATIENCE_S)
        line.connect("\0" + address)
        line.sendall(os.path.basename(folder).encode() + b"\n")
        # torchrun is our parent: who is to be let in is who listens.
        credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        line.close()
        raise
    return line, struct.unpack("3i", credentials)[0]


def _allow(tracer: int) -> None:
    """Where the kernel lets only ancestors look into a process, lets `tracer` and its children do so."""
    if not os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, tracer, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass

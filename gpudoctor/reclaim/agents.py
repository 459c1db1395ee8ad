"""Asks the agent of a process that runs one (`import gpudoctor.agent`), where entering it is not needed."""

from __future__ import annotations

import json
import socket
import struct
import time

from gpudoctor.model.injection import Visit, VisitEnd

_NAME = "\0gpudoctor-agent-{pid}"
_CREDENTIALS = struct.Struct("3i")
_CONNECT_S = 1.0


def ask(pid: int, *, force: bool, deep: bool, timeout_s: float) -> Visit | None:
    """What the agent of `pid` answers; None where there is none, and then nothing was asked."""
    begun = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(_NAME.format(pid=pid))
            if _listener(connection) != pid:
                return None
            connection.sendall(json.dumps({"force": force, "deep": deep}).encode() + b"\n")
        except OSError:
            return None
        connection.settimeout(timeout_s)
        try:
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        except OSError:
            return Visit(pid, VisitEnd.UNFINISHED, None, time.monotonic() - begun, 0.0, "agent")
    if not answer:
        return None
    return Visit(pid, VisitEnd.DONE, answer.decode(), time.monotonic() - begun, 0.0, "agent")


def listens(pid: int) -> bool:
    """Whether `pid` runs an agent. It is asked nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(_NAME.format(pid=pid))
            return _listener(connection) == pid
        except OSError:
            return False


def _listener(connection: socket.socket) -> int:
    """The pid of who listens: anybody may take a name, but not another's pid."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])

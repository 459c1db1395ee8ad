"""Asks a Jupyter server on this machine what it knows of one of its kernels: who looks, since when idle."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudoctor.model.lineage import Notebook

if TYPE_CHECKING:
    import http.client

_TIMEOUT_S = 1.0
_PATIENCE_S = 3.0
_MOST_SERVERS = 5
_MOST_BYTES = 4 * 1024 * 1024


def connection_file(command: tuple[str, ...]) -> Path | None:
    """The file by which the kernel with this command line is reached; None for other programs."""
    if not any("ipykernel" in word for word in command):
        return None
    path = next((word for word in command if word.endswith(".json") and word[:1] == "/"), None)
    return None if path is None else Path(path)


def notebook(connection: Path) -> Notebook | None:
    """What the kernel's server says of it; None where no server of this machine knows it.

    The server's address and token lie beside the connection file. Both are used on the loopback
    interface alone.
    """
    kernel = connection.stem.removeprefix("kernel-")
    for server in _servers(connection.parent):
        found = next((one for one in _ask(server, "kernels") if one.get("id") == kernel), None)
        if found is not None:
            return _notebook(found, _path_of(kernel, _ask(server, "sessions")))
    return None


def _servers(folder: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError):
        files = [*folder.glob("jpserver-*.json"), *folder.glob("nbserver-*.json")]
        for file in sorted(files, key=lambda one: one.stat().st_mtime, reverse=True)[
            :_MOST_SERVERS
        ]:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                found = json.loads(_regular(file))
                if isinstance(found, dict) and not found.get("secure") and found.get("port"):
                    yield found


def _regular(path: Path) -> bytes:
    """What is in a file of a folder that the looked-at process chose: a pipe there might never end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        return file.read(_MOST_BYTES)


def _ask(server: dict[str, Any], what: str) -> list[dict[str, Any]]:
    import http.client

    host = "::1" if server.get("hostname") == "::1" else "127.0.0.1"
    port = server["port"]
    if not isinstance(port, int) or not 0 < port < 65536:
        return []
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    path = f"{str(server.get('base_url') or '/').rstrip('/')}/api/{what}"
    try:
        connection.request(
            "GET", path, headers={"Authorization": f"token {server.get('token', '')}"}
        )
        answer = json.loads(_within(connection, _PATIENCE_S))
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return []
    finally:
        connection.close()
    return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []


def _within(connection: http.client.HTTPConnection, seconds: float) -> bytes:
    """The answer's body. A timeout of the socket starts anew with each byte; this one does not."""
    sock = connection.sock
    giving_up = threading.Timer(seconds, sock.shutdown, (socket.SHUT_RDWR,))
    giving_up.daemon = True
    giving_up.start()
    try:
        return connection.getresponse().read(_MOST_BYTES)
    finally:
        giving_up.cancel()


def _path_of(kernel: str, sessions: list[dict[str, Any]]) -> str | None:
    for session in sessions:
        running = session.get("kernel")
        if isinstance(running, dict) and running.get("id") == kernel:
            return str(session.get("path") or session.get("name") or "") or None
    return None


def _notebook(found: dict[str, Any], path: str | None) -> Notebook:
    connections = found.get("connections")
    return Notebook(
        path=path,
        state=str(found.get("execution_state") or "unknown"),
        connections=connections if isinstance(connections, int) else None,
        last_activity=_moment(found.get("last_activity")),
    )


def _moment(text: object) -> float | None:
    try:
        return dt.datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None

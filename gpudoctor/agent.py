"""Lets `gpudoctor empty-cache` reach this process without ptrace: `import gpudoctor.agent` is all.

A thread listens on a socket in Linux's abstract namespace, which only this user and root may use, and
waits there for requests; it costs nothing until one comes. Nothing but the cache can be asked for.
"""

from __future__ import annotations

import ast
import json
import os
import socket
import struct
import threading

NAME = "\0gpudoctor-agent-{pid}"
_LONGEST_REQUEST = 4096
_PATIENCE_S = 5.0
_CREDENTIALS = struct.Struct("3i")
_listening: list[socket.socket] = []


def start() -> bool:
    """Begins to listen; once is enough. False where that is not possible (no Linux, a second agent)."""
    if _listening:
        return True
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(NAME.format(pid=os.getpid()))
        server.listen(4)
    except OSError:
        server.close()
        return False
    _listening.append(server)
    threading.Thread(target=_serve, args=(server,), name="gpudoctor-agent", daemon=True).start()
    return True


def peer(connection: socket.socket) -> tuple[int, int]:
    """Pid and uid of the process at the other end, as the kernel says."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            try:
                _answer(connection)
            except OSError:
                continue


def _answer(connection: socket.socket) -> None:
    connection.settimeout(_PATIENCE_S)
    if peer(connection)[1] not in (0, os.getuid()):
        return
    with connection.makefile("rb") as stream:
        line = stream.readline(_LONGEST_REQUEST)
    try:
        request = json.loads(line)
        answer = _run(force=bool(request["force"]), deep=bool(request["deep"]))
    except Exception as error:  # noqa: BLE001 - the answer is where an error belongs
        answer = repr({"error": f"{type(error).__name__}: {error}"})
    connection.sendall(answer.encode())


def _run(*, force: bool, deep: bool) -> str:
    from gpudoctor.reclaim.payloads import empty_cache

    names: dict[str, object] = {}
    exec(empty_cache(force=force, deep=deep), names)  # noqa: S102 - our own text, as a visit runs it
    run = names["run"]
    assert callable(run)
    told = run()
    ast.literal_eval(told)
    return str(told)


def _forked() -> None:
    # The thread stays behind in the parent, and a forked child cannot use CUDA anyway; it must only
    # not keep the parent's name taken.
    for server in _listening:
        server.close()
    _listening.clear()


os.register_at_fork(after_in_child=_forked)
start()

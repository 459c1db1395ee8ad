"""Asks a running daemon over its socket. Whatever is wrong with the answer, the caller looks itself.

No library for HTTP is imported: `gpudoctor ps` would pay for it at every start.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gpudoctor import __version__
from gpudoctor.daemon.place import SYSTEM
from gpudoctor.model.decoding import decoder
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.model.values import Value

if TYPE_CHECKING:
    from gpudoctor.history.values import History
    from gpudoctor.model.check import Inspected

TIMEOUT_S = 1.0
# History is read from the disk, one question after another.
HISTORY_TIMEOUT_S = 10.0
VERSION_HEADER = "gpudoctor-version"
# 16 GPUs and 1,000 processes are about 1.5 MB of indented JSON.
_MOST_BYTES = 16 * 1024 * 1024
_MOST_HEAD = 8192
_MOST_TEXT = 300
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |$)")
_T = TypeVar("_T")


class NoAnswerError(Exception):
    """The daemon cannot be used; the text says why."""


class NotForUsError(NoAnswerError):
    """Nobody listens there, or not to us: nothing is wrong, and nobody need be told."""


class NotThereError(NoAnswerError):
    """It knows nothing of what was asked for; the text is what it says."""


class _Told(Value, frozen=True):
    schema: str
    fresh: bool
    snapshot: Snapshot


class Client:
    """Asks the daemon that listens at `path`. Each question is a connection of its own."""

    def __init__(self, path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s

    def snapshot(self, *, oldest_s: float, pace_s: float | None = None) -> Snapshot:
        """The daemon's latest look, not older than `oldest_s` seconds.

        With `pace_s` the daemon is asked to look as often as that for the next seconds.

        Raises:
            NoAnswerError: there is none that could be believed.
        """
        query = "" if pace_s is None else f"?pace={pace_s:g}"
        headers, body = self._ask(f"/api/v1/snapshot{query}", self._timeout_s)
        version = headers.get(VERSION_HEADER, "unknown")
        if version != __version__:
            raise NoAnswerError(f"it is gpudoctor {version}, and this is {__version__}")
        told = _decoded(body, _Told)
        if told.schema != "gpudoctor.snapshot/1" or not told.fresh:
            raise NoAnswerError("it has not sampled the machine lately")
        _check(told.snapshot, oldest_s)
        return told.snapshot

    def history(
        self, since: float, until: float, *, gpu: str | None = None, pid: int | None = None
    ) -> History:
        """What the daemon recorded from `since` to `until`, seconds since the epoch.

        `gpu` is an index or how a UUID begins; with `pid`, only what is of that process and its GPUs.

        Raises:
            NotThereError: it records nothing, or knows no such GPU.
            NoAnswerError: it does not answer.
        """
        from urllib.parse import urlencode

        from gpudoctor.history.values import History

        asked = {"since": f"{since:.3f}", "until": f"{until:.3f}", "gpu": gpu, "pid": pid}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        _, body = self._ask(f"/api/v1/history?{query}", HISTORY_TIMEOUT_S)
        return _decoded(body, History)

    def findings(self) -> Inspected:
        """What the daemon's checks found when they last ran.

        Raises:
            NoAnswerError: they have not run lately, or it does not answer.
        """
        from gpudoctor.model.check import Inspected

        _, body = self._ask("/api/v1/findings", self._timeout_s)
        told = _decoded(body, Inspected)
        if told.schema != "gpudoctor.check/1":
            raise NoAnswerError(f"its findings are {told.schema}")
        return told

    def _ask(self, target: str, timeout_s: float) -> tuple[dict[str, str], bytes]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                return _exchange(connection, self.path, target, time.monotonic() + timeout_s)
        except (ConnectionRefusedError, FileNotFoundError, PermissionError) as error:
            raise NotForUsError(error.strerror) from error
        except TimeoutError as error:
            raise NoAnswerError("it did not answer in time") from error
        except (OSError, ValueError) as error:
            raise NoAnswerError(getattr(error, "strerror", None) or str(error)) from error


def _exchange(
    connection: socket.socket, path: Path, target: str, until: float
) -> tuple[dict[str, str], bytes]:
    connection.settimeout(_left(until))
    connection.connect(str(path))
    _believe(connection, path)
    connection.sendall(f"GET {target} HTTP/1.0\r\nHost: gpudoctor\r\n\r\n".encode())
    received = bytearray()
    while True:
        # One limit for all of it: whoever drips a byte a second must not hold us.
        connection.settimeout(_left(until))
        part = connection.recv(1 << 18)
        if not part:
            return _parsed(bytes(received))
        received += part
        if len(received) > _MOST_BYTES:
            raise NoAnswerError("its answer does not end")


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _parsed(received: bytes) -> tuple[dict[str, str], bytes]:
    head, between, body = received.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if not between or status is None or len(head) > _MOST_HEAD:
        raise NoAnswerError("its answer is no HTTP")
    if status[1] in (b"401", b"403"):
        raise NotForUsError("it wants a token or a password")
    if status[1] == b"404":
        raise NotThereError(body[:_MOST_TEXT].decode("ascii", "backslashreplace").strip())
    if status[1] != b"200":
        raise NoAnswerError(f"it answered {status[1].decode()}")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("content-length") != str(len(body)):
        raise NoAnswerError("its answer was cut off")
    return headers, body


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoAnswerError(f"its answer is not understood: {error}") from error


def _check(seen: Snapshot, oldest_s: float) -> None:
    if seen.source != "nvml":
        raise NoAnswerError("the machine that it shows is made up")
    age = time.monotonic() - seen.monotonic
    if not -1.0 <= age <= oldest_s:
        raise NoAnswerError(f"its latest sample is {age:.0f} s old")
    uuids = {device.uuid for device in seen.devices}
    indices = {device.index for device in seen.devices}
    if not seen.devices or not len(uuids) == len(indices) == len(seen.devices):
        raise NoAnswerError("its list of GPUs makes no sense")
    pids = [process.pid for process in seen.processes]
    if len(set(pids)) != len(pids) or any(not 0 < pid < 1 << 31 for pid in pids):
        raise NoAnswerError("its list of processes makes no sense")


def _believe(connection: socket.socket, path: Path) -> None:
    """That root, this user, or whom root gave the system's folder to is at the other end.

    Raises:
        NoAnswerError: it is somebody else, or one to whom pids mean something else.
    """
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    pid, uid, _ = struct.unpack("iII", told)
    if uid not in (0, os.geteuid()) and uid != _appointed(path):
        raise NoAnswerError(f"another user's program (uid {uid}) listens there")
    # The kernel gives 0 where the pid has no meaning here.
    if pid == 0 or not _counts_as_we_do(pid):
        raise NoAnswerError("it runs in a container, where pids mean something else")


def _appointed(path: Path) -> int | None:
    """The user for whom root made the system's folder: a service may run as a user of its own."""
    if path != SYSTEM:
        return None
    above, folder = SYSTEM.parent.parent.stat(), SYSTEM.parent.lstat()
    return None if above.st_uid or above.st_mode & 0o022 else folder.st_uid


def _counts_as_we_do(pid: int) -> bool:
    with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - pathlib is not imported faster
        for line in file:
            if line.startswith(b"NSpid:"):
                return len(line.split()) == 2
    return True

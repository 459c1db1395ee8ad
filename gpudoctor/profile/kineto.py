"""Asks a process that was started with KINETO_USE_DAEMON=1 for a short operator trace of itself.

Its libkineto asks for a configuration by datagram every few seconds; the answer starts the trace. The
layout is that of kineto's ipcfabric: 40 bytes of header (length, type), then the payload.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.profile.reach import runs

_HEADER = struct.Struct("<Q32s")
_REQUEST = struct.Struct("<iiq")
_ACTIVITIES = 2
_MOST_BYTES = 65536
_PERIOD_S = 15.0
_WRITING_S = 60.0


def trace(
    pid: int,
    owner: int,
    target: Path,
    *,
    window_seconds: float,
    shapes: bool = False,
    socket_folder: str = "",
) -> None:
    """Have process `pid` (of user `owner`) trace itself for `window_seconds`, into the file `target`.

    It asks every 5 seconds by itself, so this takes some seconds more than the window. A process that
    ends inside the window crashes on its way out: the window is best kept short.

    Raises:
        GpuDoctorError: another daemon serves this machine, or the process did not ask or did not write.
    """
    with folder_for(owner) as folder, _listening(socket_folder) as listener:
        _answer(listener, pid, _configuration(folder / "trace.json", window_seconds, shapes))
        written = folder / f"trace_{pid}.json"
        _wait_for(written, pid, window_seconds + _WRITING_S)
        take(written, target, pid)


def take(written: Path, target: Path, pid: int) -> None:
    """Moves the trace that process `pid` wrote to where it belongs.

    Raises:
        GpuDoctorError: what lies there is no file.
    """
    # As root, do not follow a link that the traced user put in the trace's place.
    if written.is_symlink() or not written.is_file():
        raise GpuDoctorError(f"process {pid} left no trace where it was told to")
    shutil.move(written, target)


def _configuration(path: Path, window_seconds: float, shapes: bool) -> bytes:
    lines = {
        "ACTIVITIES_LOG_FILE": str(path),
        "PROFILE_START_TIME": "0",
        "ACTIVITIES_WARMUP_PERIOD_SECS": "1",
        "ACTIVITIES_DURATION_MSECS": str(round(window_seconds * 1000)),
        "PROFILE_REPORT_INPUT_SHAPES": str(shapes).lower(),
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items()).encode()


@contextlib.contextmanager
def folder_for(owner: int) -> Iterator[Path]:
    """A new folder that user `owner` can write to and nobody else can look into."""
    # Newer kineto writes on demand below /tmp only.
    folder = Path(tempfile.mkdtemp(prefix="gpudoctor-trace-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, owner, -1)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _listening(folder: str) -> Iterator[socket.socket]:
    path = f"{folder}/dynolog" if folder else "\0dynolog\0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(path)
        except OSError as error:
            raise GpuDoctorError(
                "another daemon serves the traces of this machine",
                cause=f"{path.strip(chr(0))} is taken: {error.strerror}",
                hint="Where it is dynolog: dyno gputrace --pids PID --log-file FILE",
            ) from error
        try:
            yield listener
        finally:
            if folder:
                Path(path).unlink(missing_ok=True)


def _answer(listener: socket.socket, pid: int, configuration: bytes) -> None:
    until = time.monotonic() + _PERIOD_S
    while (left := until - time.monotonic()) > 0:
        listener.settimeout(min(left, 1.0))
        try:
            data, sender = listener.recvfrom(_MOST_BYTES)
        except TimeoutError:
            _check_alive(pid)
            continue
        asked = _parse(data)
        if asked is None:
            continue
        who, kinds = asked
        mine = who == pid and bool(kinds & _ACTIVITIES)
        with contextlib.suppress(OSError):
            listener.sendto(_reply(configuration if mine else b""), sender)
            if mine:
                return
    raise GpuDoctorError(
        f"process {pid} did not ask for a trace within {_PERIOD_S:.0f} s",
        cause="its libkineto has no daemon support, gave up, or a profiler of its own is running",
    )


def _parse(data: bytes) -> tuple[int, int] | None:
    """The pid that asks and what it can take (a bit mask); None where it is no request."""
    least = _HEADER.size + _REQUEST.size + 4
    if len(data) < least:
        return None
    size, kind = _HEADER.unpack_from(data)
    kinds, count, _job = _REQUEST.unpack_from(data, _HEADER.size)
    if kind.rstrip(b"\0") != b"req" or count < 1 or size < _REQUEST.size + 4:
        return None
    return struct.unpack_from("<i", data, _HEADER.size + _REQUEST.size)[0], kinds


def _reply(configuration: bytes) -> bytes:
    return _HEADER.pack(len(configuration), b"req") + configuration


def _wait_for(path: Path, pid: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists():
            return
        _check_alive(pid)
        time.sleep(0.05)
    raise GpuDoctorError(
        f"process {pid} did not write its trace within {seconds:.0f} s",
        cause="a profiler of its own took over, or it may not write below /tmp",
    )


def _check_alive(pid: int) -> None:
    if not runs(pid):
        raise GpuDoctorError(f"process {pid} ended meanwhile")

"""The file of `gpudoctor record`: a line of JSON that says what it is, then one snapshot a line.

A name that ends in .gz is compressed.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from gpudoctor.errors import GpuDoctorError, why
from gpudoctor.model.codec import decode
from gpudoctor.model.snapshot import Snapshot

SCHEMA = "gpudoctor.recording/1"
# One snapshot of 16 GPUs and 1,000 processes is about 0.5 MB; a longer line is no recording.
MAX_LINE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordingHead:
    """The first line. `interval_seconds` is the time between snapshots as asked for."""

    schema: str
    gpudoctor_version: str
    started_at: float
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, read in full. There is at least one snapshot, and their times do not go back."""

    head: RecordingHead
    snapshots: tuple[Snapshot, ...]


def open_for(path: Path, mode: str) -> IO[bytes]:
    """`path` opened for reading ("rb") or for exclusive creation ("xb"), compressed if named .gz."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, mode))
    return cast("IO[bytes]", path.open(mode))


def read(path: Path) -> Recording:
    """The recording in `path`. A cut-off last line, as after a crash, is left out.

    Raises:
        GpuDoctorError: there is no such file, or it is not a recording.
    """
    try:
        with open_for(path, "rb") as file:
            lines = _lines(file, path)
            head = _head(next(lines, b""), path)
            snapshots = tuple(_snapshots(lines, path))
    except FileNotFoundError as error:
        raise GpuDoctorError(
            f"the recording {path} does not exist",
            hint="Make one with: gpudoctor record FILE",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise GpuDoctorError(f"the recording {path} cannot be read", cause=why(error)) from error
    if not snapshots:
        raise GpuDoctorError(f"the recording {path} holds no snapshot", hint="Record for longer.")
    return Recording(head, snapshots)


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES:
            raise GpuDoctorError(f"{path} is not a recording", cause="one of its lines never ends")
        yield line


def _head(line: bytes, path: Path) -> RecordingHead:
    head = decode(line, RecordingHead, what=f"the recording {path}")
    if head.schema != SCHEMA:
        raise GpuDoctorError(
            f"{path} is not a recording that this version plays",
            cause=f"its schema is {head.schema!r}, not {SCHEMA!r}",
        )
    return head


def _snapshots(lines: Iterator[bytes], path: Path) -> Iterator[Snapshot]:
    before: float | None = None
    for number, line in enumerate(lines, start=2):
        if not line.endswith(b"\n"):
            return
        snapshot = decode(line, Snapshot, what=f"line {number} of the recording {path}")
        if before is not None and snapshot.taken_at < before:
            raise GpuDoctorError(f"line {number} of {path} is older than the line before it")
        before = snapshot.taken_at
        yield snapshot

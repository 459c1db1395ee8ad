"""Writes the file that --replay plays."""

from __future__ import annotations

import os
from pathlib import Path

from gpudoctor import __version__
from gpudoctor.errors import GpuDoctorError, why
from gpudoctor.model.codec import encode_line
from gpudoctor.model.recording import SCHEMA, RecordingHead, open_for
from gpudoctor.model.snapshot import Snapshot


class RecordingWriter:
    """Writes whole lines, so that a recording that was cut off still plays.

    `bytes` is the size of the file, `last_bytes` how much of it the last line took, compressed or not.
    """

    def __init__(self, path: Path, *, interval_s: float, started_at: float) -> None:
        self.snapshots = 0
        self.bytes = 0
        self.last_bytes = 0
        self._path = path
        try:
            self._file = open_for(path, "xb")
        except FileExistsError as error:
            raise GpuDoctorError(
                f"{path} exists already", hint="Give another name; nothing is overwritten."
            ) from error
        except OSError as error:
            raise GpuDoctorError(f"{path} cannot be written", cause=why(error)) from error
        self._write(encode_line(RecordingHead(SCHEMA, __version__, started_at, interval_s)))

    def add(self, snapshot: Snapshot) -> None:
        """Write one snapshot.

        Raises:
            GpuDoctorError: the disk is full, or the file went away.
        """
        self._write(encode_line(snapshot))
        self.snapshots += 1

    def close(self) -> None:
        """Finish the file."""
        try:
            self._file.close()
        except OSError as error:
            raise GpuDoctorError(f"{self._path} cannot be written", cause=why(error)) from error

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
            self._file.flush()
            written = os.fstat(self._file.fileno()).st_size
            self.bytes, self.last_bytes = written, written - self.bytes
        except OSError as error:
            raise GpuDoctorError(
                f"the recording {self._path} cannot be continued",
                cause=why(error),
                hint=f"Its {self.snapshots} snapshots so far are kept and can be played.",
            ) from error

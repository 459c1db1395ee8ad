"""Writes the metrics of one run to a file for node_exporter's textfile collector."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.model.bench import BenchReport
from gpudoctor.model.profile import Profile
from gpudoctor.render.metrics.runs import BENCH, PROFILE, Benched
from gpudoctor.render.metrics.view import Metric, View
from gpudoctor.render.prometheus import exposition

_HINT = "Name a file in the folder of node_exporter's --collector.textfile.directory."


def check(path: Path) -> None:
    """That `path` can be written, before a run that takes long.

    Raises:
        GpuDoctorError: it cannot.
    """
    folder = path.parent
    cause = None
    if not folder.is_dir():
        cause = f"there is no folder {folder}"
    elif path.is_dir():
        cause = "it is a folder"
    elif path.is_symlink() or (path.exists() and not path.is_file()):
        # It would be replaced: /dev/stdout, for everybody, where root says so.
        cause = "it is no regular file"
    elif not os.access(folder, os.W_OK | os.X_OK):
        cause = f"the folder {folder} may not be written to"
    if cause is not None:
        raise GpuDoctorError(f"{path} cannot be written", cause=cause, hint=_HINT)


def write_profile(path: Path, seen: Profile) -> None:
    """Replace the file at once with what this run gave.

    Raises:
        GpuDoctorError: it cannot be written.
    """
    _write(path, [metric.of(seen) for metric in PROFILE])


def write_bench(path: Path, report: BenchReport, at: float) -> None:
    """Replace the file at once with what was measured until `at`, seconds since the epoch.

    Raises:
        GpuDoctorError: it cannot be written.
    """
    _write(path, [metric.of(Benched(report, at)) for metric in BENCH])


def _write(path: Path, metrics: Iterable[Metric]) -> None:
    try:
        # node_exporter runs as a user of its own.
        replace_file(path, exposition(View(), metrics=metrics), mode=0o644)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> GpuDoctorError:
    """The error that says why metrics cannot be written to `path`."""
    cause = error.strerror or str(error)
    return GpuDoctorError(f"{path} cannot be written", cause=cause, hint=_HINT)

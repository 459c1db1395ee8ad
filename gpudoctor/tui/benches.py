"""Benchmarks that were started from the screen: what is kept of them. No painting."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.parked import state_folder
from gpudoctor.model.bench import BenchReport, BenchResult
from gpudoctor.model.codec import decode
from gpudoctor.present.cells import Level
from gpudoctor.profile.session import regular
from gpudoctor.tui.sessions import Kept, folders

_FILE = "bench.json"


class _File(msgspec.Struct):
    """What is kept: when and for what it was asked, and the report as the command printed it."""

    started_at: float
    program: tuple[str, ...]
    report: BenchReport


def benches() -> Path:
    """Where the screen's benchmarks are kept."""
    return state_folder() / "benches"


def keep(folder: Path, started_at: float, program: tuple[str, ...], printed: bytes) -> BenchReport:
    """Writes what `gpudoctor bench --json` printed into `folder`.

    Raises:
        GpuDoctorError: it is no report, or cannot be written.
    """
    report = decode(printed, BenchReport, what="what bench printed")
    try:
        (folder / _FILE).write_bytes(msgspec.json.encode(_File(started_at, program, report)))
    except OSError as error:
        raise GpuDoctorError(f"{folder} cannot be written", cause=error.strerror) from error
    return report


def load(folder: Path) -> BenchReport:
    """The report that is kept in `folder`.

    Raises:
        GpuDoctorError: there is none.
    """
    return _read(folder).report


def _read(folder: Path) -> _File:
    path = folder / _FILE
    try:
        return decode(regular(path), _File, what=str(path))
    except OSError as error:
        raise GpuDoctorError(f"{path} cannot be read", cause=error.strerror) from error


def kept_benches(place: Path) -> tuple[Kept, ...]:
    """The benchmarks in `place`, the newest first. What cannot be read is passed over."""
    found = []
    for folder in folders(place):
        try:
            one = _read(folder)
        except GpuDoctorError:
            continue
        took = one.report.duration_seconds
        found.append(Kept(folder, one.program, one.started_at, took, *_verdict(one.report)))
    return tuple(found)


def _verdict(report: BenchReport) -> tuple[str, Level]:
    faster = any(_faster(one) for one in report.results)
    words = report.verdicts[0] if report.verdicts else "no verdict"
    more = len(report.verdicts) - 1
    return words + (f" (+{more} more)" if more > 0 else ""), Level.GOOD if faster else Level.PLAIN


def _faster(result: BenchResult) -> bool:
    return result.speedup is not None and result.speedup.faster

"""Keeps one line for every visit inside another process: who, whom, how, and what came of it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import msgspec

from gpudoctor.host.lineage import user_name
from gpudoctor.host.parked import state_folder
from gpudoctor.host.proc_files import read_stat, read_words
from gpudoctor.model.injection import CacheReport
from gpudoctor.model.values import Value

PROC = Path("/proc")
NAME = "empty-cache.jsonl"


class Visited(Value, frozen=True):
    """The process as it was right before, `at` in seconds since the epoch; `uid` is who asked."""

    at: float
    uid: int
    pid: int
    start_ticks: int | None
    command: tuple[str, ...]
    force: bool
    deep: bool


def about_to_visit(pid: int, *, force: bool, deep: bool, root: Path = PROC) -> Visited:
    """Who is about to enter whom."""
    stat = read_stat(root, pid)
    return Visited(
        at=dt.datetime.now(dt.UTC).timestamp(),
        uid=os.getuid(),
        pid=pid,
        start_ticks=stat.start_ticks if stat else None,
        command=read_words(root / str(pid) / "cmdline"),
        force=force,
        deep=deep,
    )


def keep(visited: Visited, report: CacheReport, folder: Path | None = None) -> str | None:
    """Appends the visit to the user's state folder, and gives the file; None where that cannot be."""
    place = (state_folder() if folder is None else folder) / NAME
    line = {"visited": visited, "report": report, "released_bytes": report.released_bytes}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # One write to a file opened for appending: two visits at once do not mix their lines.
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(line) + b"\n")
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return str(place)


def told(report: CacheReport) -> str | None:
    """The line in words, None for a report that nobody kept."""
    audit = report.audit
    if audit is None:
        return None
    at = dt.datetime.fromtimestamp(audit.at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    stood = f"{report.stopped_seconds * 1e3:.1f} ms stopped"
    way = f"by {report.way}, {stood}" if report.way else stood
    kept = f"; kept in {audit.file}" if audit.file else "; it could not be kept in a file"
    asked = user_name(audit.uid)
    return f"audit: {at} {asked} entered process {report.pid} {way}: {report.status}{kept}"

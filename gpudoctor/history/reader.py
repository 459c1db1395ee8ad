"""Reads what the flight recorder wrote."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.history.database import open_to_read
from gpudoctor.history.tiers import TIERS, Tier
from gpudoctor.history.values import GpuHistory, GpuPoint, History, Note, ProcessSpan
from gpudoctor.model.snapshot import GpuEvent

_POINTS = """
SELECT at, up, utilization, sm_active, memory_used, power, temperature, sm_clock, slowed
FROM point WHERE tier = ? AND gpu = ? AND at >= ? AND at < ? ORDER BY at
"""
_PROCESSES = """
SELECT pid, started, user, process.name, command, uuid, first_seen, last_seen, memory_peak,
    memory_last, CASE WHEN sm_count > 0 THEN sm_sum / sm_count END
FROM process JOIN gpu ON gpu.id = process.gpu
WHERE last_seen >= ? AND first_seen < ? AND pid = coalesce(?, pid)
ORDER BY last_seen DESC, pid LIMIT ?
"""
_THINNED = """
SELECT at / ? * ? AS bucket, avg(up), avg(utilization), avg(sm_active), max(memory_used),
    avg(power), max(temperature), avg(sm_clock), avg(slowed)
FROM point WHERE tier = ? AND gpu = ? AND at >= ? AND at < ? GROUP BY bucket ORDER BY bucket
"""
_EVENTS = """
SELECT at, uuid, kind, code, text FROM event WHERE at >= ? AND at < ? ORDER BY at DESC LIMIT ?
"""
_NOTES = """
SELECT at, kind, name, severity, text, ended, gpus, pid FROM note
WHERE at >= ? AND at < ? ORDER BY at DESC LIMIT ?
"""
_ALL = -1
_WITH_NOTES = 2


def read_history(
    path: Path,
    *,
    since: float,
    until: float,
    gpu: str | None = None,
    pid: int | None = None,
    most: int | None = None,
) -> History:
    """What happened from `since` to `until`, seconds since the epoch.

    `gpu` is an index or the beginning of a UUID; with `pid`, only what is of that process and of
    its GPUs. With `most`, there are no more points than about that in all, merged to longer steps,
    and of processes and events only so many, the latest.

    Raises:
        GpuDoctorError: there is no history, it cannot be read, or there is no such GPU.
    """
    database = open_to_read(path)
    try:
        return _read(database, since, until, gpu, pid, most)
    except (sqlite3.Error, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise GpuDoctorError(
            f"the history {path} cannot be read",
            cause=str(error),
            exit_code=ExitCode.UNAVAILABLE,
        ) from error
    finally:
        database.close()


def _read(
    database: sqlite3.Connection,
    since: float,
    until: float,
    gpu: str | None,
    pid: int | None,
    most: int | None,
) -> History:
    bounds = (int(since * 1000), int(until * 1000))
    rows = _ALL if most is None else most
    found = [_span(row) for row in database.execute(_PROCESSES, (*bounds, pid, rows))]
    processes = sorted(found, key=lambda span: (span.first_seen, span.pid))
    chosen = database.execute(
        "SELECT id, uuid, position, name, memory_total FROM gpu ORDER BY position, id"
    ).fetchall()
    if gpu is not None:
        chosen = [row for row in chosen if gpu == str(row[2]) or row[1].startswith(gpu)]
        if not chosen:
            raise GpuDoctorError(
                f"the history knows no GPU {gpu}", hint="Give an index, or how a UUID begins."
            )
    if pid is not None:
        on = {span.uuid for span in processes}
        chosen = [row for row in chosen if row[1] in on]
    uuids = {row[1] for row in chosen}
    each = None if most is None else max(1, most // max(1, len(chosen)))
    sources = tuple(name for (name,) in database.execute("SELECT name FROM source ORDER BY name"))
    return History(
        since,
        until,
        tuple(_gpu(database, row, bounds, each) for row in chosen),
        tuple(span for span in processes if span.uuid in uuids),
        tuple(event for event in _events(database, bounds, rows) if event.uuid in uuids),
        sources,
        tuple(
            note
            for note in _notes(database, bounds, rows)
            if _is_of(note, {row[2] for row in chosen}, pid, everything=gpu is None and pid is None)
        ),
    )


def _is_of(note: Note, gpus: set[int], pid: int | None, *, everything: bool) -> bool:
    """Whether the note is of what was asked for: a process's own, else one of its GPUs'."""
    if everything:
        return True
    if pid is not None and note.pid is not None:
        return note.pid == pid
    return not gpus.isdisjoint(note.gpus)


def _gpu(
    database: sqlite3.Connection,
    row: tuple[int, str, int, str, int | None],
    bounds: tuple[int, int],
    most: int | None = None,
) -> GpuHistory:
    number, uuid, index, name, total = row
    tier = _tier_for(database, bounds[0])
    if most is not None:
        step = _step_ms(database, number, tier, bounds, most)
        if step:
            found = database.execute(_THINNED, (step, step, tier.number, number, *bounds))
            points = tuple(_point(one) for one in found)
            return GpuHistory(uuid, index, name, total, step / 1000, points)
    rows = database.execute(_POINTS, (tier.number, number, *bounds)).fetchall()
    if tier.number:
        # The coarse points of the last minute are still to be made; the fine ones are there.
        after = rows[-1][0] + tier.step_s * 1000 if rows else bounds[0]
        rows += database.execute(_POINTS, (0, number, after, bounds[1])).fetchall()
    points = tuple(_point(found) for found in rows)
    return GpuHistory(uuid, index, name, total, tier.step_s or _median_step(points), points)


def _step_ms(
    database: sqlite3.Connection, gpu: int, tier: Tier, bounds: tuple[int, int], most: int
) -> int:
    """How far apart points must lie so that a GPU has about `most`; 0 where they do already."""
    count, first, last = database.execute(
        "SELECT count(*), min(at), max(at) FROM point"
        " WHERE tier = ? AND gpu = ? AND at >= ? AND at < ?",
        (tier.number, gpu, *bounds),
    ).fetchone()
    if count <= most:
        return 0
    unit = max(1000, tier.step_s * 1000)
    return int((last - first) // (most * unit) + 1) * unit


def _tier_for(database: sqlite3.Connection, since_ms: int) -> Tier:
    """The finest tier that goes back as far as is asked, or as far as the coarsest does."""
    oldest = [
        database.execute("SELECT min(at) FROM point WHERE tier = ?", (tier.number,)).fetchone()[0]
        for tier in TIERS
    ]
    reached = [value for value in oldest if value is not None]
    if not reached:
        return TIERS[0]
    wanted = max(since_ms, min(reached))
    for tier, first in zip(TIERS, oldest, strict=True):
        if first is not None and first <= wanted + tier.step_s * 1000:
            return tier
    return TIERS[-1]


def _median_step(points: tuple[GpuPoint, ...]) -> float:
    steps = sorted(later.at - earlier.at for earlier, later in pairwise(points))
    return steps[len(steps) // 2] if steps else 0.0


def _point(row: tuple[float, ...]) -> GpuPoint:
    at, up, utilization, sm_active, memory, power, celsius, clock, slowed = row
    return GpuPoint(
        at / 1000,
        up,
        utilization,
        sm_active,
        None if memory is None else int(memory),
        power,
        celsius,
        clock,
        slowed,
    )


def _span(row: tuple[Any, ...]) -> ProcessSpan:
    pid, started, user, name, command, uuid, first, last, peak, held, sm = row
    return ProcessSpan(
        pid,
        None if started == -1 else started / 1000,
        user,
        name,
        tuple(json.loads(command)),
        uuid,
        first / 1000,
        last / 1000,
        peak,
        held,
        sm,
    )


def _events(database: sqlite3.Connection, bounds: tuple[int, int], most: int) -> list[GpuEvent]:
    rows = database.execute(_EVENTS, (*bounds, most)).fetchall()
    return [
        GpuEvent(at / 1000, uuid, kind, code, text) for at, uuid, kind, code, text in reversed(rows)
    ]


def _notes(database: sqlite3.Connection, bounds: tuple[int, int], most: int) -> list[Note]:
    if database.execute("PRAGMA user_version").fetchone()[0] < _WITH_NOTES:
        return []
    rows = database.execute(_NOTES, (*bounds, most)).fetchall()
    return [
        Note(at / 1000, kind, name, severity, text, bool(ended), tuple(json.loads(gpus)), pid)
        for at, kind, name, severity, text, ended, gpus, pid in reversed(rows)
    ]

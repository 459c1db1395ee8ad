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
from gpudoctor.history.values import GpuHistory, GpuPoint, History, ProcessSpan
from gpudoctor.model.snapshot import GpuEvent

_POINTS = """
SELECT at, up, utilization, sm_active, memory_used, power, temperature, sm_clock, slowed
FROM point WHERE tier = ? AND gpu = ? AND at >= ? AND at < ? ORDER BY at
"""
_PROCESSES = """
SELECT pid, started, user, process.name, command, uuid, first_seen, last_seen, memory_peak,
    memory_last, CASE WHEN sm_count > 0 THEN sm_sum / sm_count END
FROM process JOIN gpu ON gpu.id = process.gpu
WHERE last_seen >= ? AND first_seen < ? ORDER BY first_seen, pid
"""


def read_history(
    path: Path,
    *,
    since: float,
    until: float,
    gpu: str | None = None,
    pid: int | None = None,
) -> History:
    """What happened from `since` to `until`, seconds since the epoch.

    `gpu` is an index or the beginning of a UUID; with `pid`, only what is of that process and of
    its GPUs.

    Raises:
        GpuDoctorError: there is no history, it cannot be read, or there is no such GPU.
    """
    database = open_to_read(path)
    try:
        return _read(database, since, until, gpu, pid)
    except sqlite3.Error as error:
        raise GpuDoctorError(
            f"the history {path} cannot be read",
            cause=str(error),
            exit_code=ExitCode.UNAVAILABLE,
        ) from error
    finally:
        database.close()


def _read(
    database: sqlite3.Connection, since: float, until: float, gpu: str | None, pid: int | None
) -> History:
    bounds = (int(since * 1000), int(until * 1000))
    processes = tuple(_span(row) for row in database.execute(_PROCESSES, bounds))
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
        processes = tuple(span for span in processes if span.pid == pid)
        on = {span.uuid for span in processes}
        chosen = [row for row in chosen if row[1] in on]
    uuids = {row[1] for row in chosen}
    sources = tuple(name for (name,) in database.execute("SELECT name FROM source ORDER BY name"))
    return History(
        since,
        until,
        tuple(_gpu(database, row, bounds) for row in chosen),
        tuple(span for span in processes if span.uuid in uuids),
        tuple(event for event in _events(database, bounds) if event.uuid in uuids),
        sources,
    )


def _gpu(
    database: sqlite3.Connection,
    row: tuple[int, str, int, str, int | None],
    bounds: tuple[int, int],
) -> GpuHistory:
    number, uuid, index, name, total = row
    tier = _tier_for(database, bounds[0])
    rows = database.execute(_POINTS, (tier.number, number, *bounds)).fetchall()
    if tier.number:
        # The coarse points of the last minute are still to be made; the fine ones are there.
        after = rows[-1][0] + tier.step_s * 1000 if rows else bounds[0]
        rows += database.execute(_POINTS, (0, number, after, bounds[1])).fetchall()
    points = tuple(_point(found) for found in rows)
    return GpuHistory(uuid, index, name, total, tier.step_s or _median_step(points), points)


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


def _events(database: sqlite3.Connection, bounds: tuple[int, int]) -> list[GpuEvent]:
    rows = database.execute(
        "SELECT at, uuid, kind, code, text FROM event WHERE at >= ? AND at < ? ORDER BY at", bounds
    )
    return [GpuEvent(at / 1000, uuid, kind, code, text) for at, uuid, kind, code, text in rows]

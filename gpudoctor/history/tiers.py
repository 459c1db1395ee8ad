"""Keeps the history small: finer points become coarser ones, and the oldest go."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_HOUR_S = 3600
_DAY_S = 86_400
EVENTS_KEPT_S = 366 * _DAY_S


@dataclass(frozen=True, slots=True)
class Tier:
    """Points `step_s` apart (0: as sampled), kept for `kept_s` seconds."""

    number: int
    step_s: int
    kept_s: int


TIERS = (
    Tier(0, 0, _HOUR_S),
    Tier(1, 10, _DAY_S),
    Tier(2, 60, 30 * _DAY_S),
)

_ROLL_UP = """
INSERT OR REPLACE INTO point
SELECT :tier, gpu, at / :step * :step AS bucket, avg(up), avg(utilization), avg(sm_active),
    max(memory_used), avg(power), max(temperature), avg(sm_clock), avg(slowed)
FROM point WHERE tier = 0 AND at >= :since AND at < :until GROUP BY gpu, bucket
"""


def roll_up(database: sqlite3.Connection, now_s: float) -> None:
    """Make the coarser points of all stretches that have passed. Doing it twice changes nothing."""
    for tier in TIERS[1:]:
        step = tier.step_s * 1000
        until = int(now_s * 1000) // step * step
        # A clock that was set back since has left points of a time that is still to come.
        newest = database.execute(
            "SELECT max(at) FROM point WHERE tier = ? AND at < ?", (tier.number, until)
        ).fetchone()[0]
        # From the last one on: it may have been made while its stretch still ran, before a restart.
        since = newest if newest is not None else 0
        database.execute(
            _ROLL_UP, {"tier": tier.number, "step": step, "since": since, "until": until}
        )


def forget(database: sqlite3.Connection, now_s: float) -> None:
    """Delete what is older than its tier keeps."""
    for tier in TIERS:
        database.execute(
            "DELETE FROM point WHERE tier = ? AND at < ?",
            (tier.number, int((now_s - tier.kept_s) * 1000)),
        )
    oldest = int((now_s - TIERS[-1].kept_s) * 1000)
    database.execute("DELETE FROM process WHERE last_seen < ?", (oldest,))
    first = int((now_s - EVENTS_KEPT_S) * 1000)
    database.execute("DELETE FROM event WHERE at < ?", (first,))
    database.execute("DELETE FROM note WHERE at < ?", (first,))


def size_bytes(database: sqlite3.Connection) -> int:
    """The size of what is in the database."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def shrink(database: sqlite3.Connection, most_bytes: int) -> None:
    """Delete the oldest coarse points, and then processes, until the database fits."""
    for table, where in (("point", "tier = 2 AND at"), ("process", "last_seen")):
        column = where.rpartition(" ")[2]
        only = "WHERE tier = 2" if table == "point" else ""
        while size_bytes(database) > most_bytes:
            # A tenth of the time at once: the loop must end soon, and rows differ little in size.
            oldest, newest = database.execute(
                f"SELECT min({column}), max({column}) FROM {table} {only}"  # noqa: S608
            ).fetchone()
            if oldest is None:
                break
            before = oldest + max(1, (newest - oldest) // 10)
            database.execute(f"DELETE FROM {table} WHERE {where} < ?", (before,))  # noqa: S608
    database.execute("PRAGMA incremental_vacuum")

"""The flight recorder: writes every snapshot to SQLite, in a thread of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gpudoctor.errors import GpuDoctorError, why
from gpudoctor.history.database import lock, move_aside, open_to_write
from gpudoctor.history.fresh import FreshEvents
from gpudoctor.history.tiers import forget, roll_up, shrink
from gpudoctor.history.values import Note
from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.snapshot import Device, DeviceState, GpuEvent, Snapshot

MOST_BYTES = 512 * 1024**2
_TIDY_EVERY_S = 60.0
_REOPEN_EVERY_S = 30.0
# Snapshots that wait for a slow disk; when there are more, the oldest are lost.
_WAITING = 64
# Reasons that are not somebody's or something's holding the clocks down.
_NO_SLOWDOWN = frozenset({"idle", "applications_clocks_setting", "display_clock_setting"})
_LOG = logging.getLogger(__name__)

_MOST_NOTES = 1000
_NOTE = "INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_POINT = "INSERT OR REPLACE INTO point VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PROCESS = """
INSERT INTO process VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    last_seen = excluded.last_seen,
    memory_peak = coalesce(
        max(memory_peak, excluded.memory_peak), memory_peak, excluded.memory_peak
    ),
    memory_last = excluded.memory_last,
    sm_sum = sm_sum + excluded.sm_sum,
    sm_count = sm_count + excluded.sm_count
"""


class Recorder:
    """`add` is a Sampler's subscriber. A disk that is slow, full or read-only costs history only.

    `errors` counts what could not be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.errors = 0
        self._path = path
        self._most_bytes = most_bytes
        self._clock = clock
        self._waiting: queue.Queue[Snapshot | None] = queue.Queue(_WAITING)
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None
        self._gpus: dict[str, int] = {}
        self._fresh = FreshEvents()
        self._events: list[GpuEvent] = []
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._unwritten: list[Note] = []
        self._tidied = float("-inf")
        self._retry_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Open the database, and begin to write.

        Raises:
            GpuDoctorError: it cannot be opened, or another daemon writes it.
        """
        try:
            self._lock = lock(self._path)
            self._database = open_to_write(self._path)
        except (OSError, sqlite3.Error) as error:
            raise GpuDoctorError(
                f"the history {self._path} cannot be opened",
                cause=why(error),
                hint="Name another file with --history, or give --no-history.",
            ) from error
        self._thread.start()

    def errors_so_far(self) -> int:
        """How many snapshots could not be written."""
        return self.errors

    def add(self, snapshot: Snapshot) -> None:
        """Take a snapshot to be written; never waits."""
        while True:
            try:
                self._waiting.put_nowait(snapshot)
            except queue.Full:
                self.errors += 1
                self._take_one()
            else:
                return

    def note(self, note: Note) -> None:
        """Take a note to be written with the next snapshot; never waits."""
        self._notes.put(note)

    def stop(self) -> None:
        """Write what waits, as far as that takes less than a second, and close."""
        if self._waiting.full():
            self._take_one()
        self._waiting.put_nowait(None)
        self._thread.join(1.0)

    def write(self, snapshot: Snapshot) -> None:
        """Write one snapshot, in one transaction.

        Raises:
            sqlite3.Error: it could not be written; nothing of it was.
        """
        database = self._database
        assert database is not None
        self._events += self._fresh.of(snapshot.events)
        with database:
            self._write_notes(database)
            database.execute("INSERT OR IGNORE INTO source VALUES (?)", (snapshot.source,))
            self._remember_gpus(database, snapshot)
            at = int(snapshot.taken_at * 1000)
            database.executemany(_POINT, [self._point(it, at) for it in self._known(snapshot)])
            database.executemany(_PROCESS, list(self._processes(snapshot, at)))
            database.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                [(int(it.at * 1000), it.uuid, it.kind, it.code, it.text) for it in self._events],
            )
        # Only now: what was not written is written with the next snapshot.
        self._events.clear()
        self._unwritten.clear()

    def _write_notes(self, database: sqlite3.Connection) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._unwritten.append(self._notes.get_nowait())
        # A disk that stays full must not fill the memory too.
        del self._unwritten[:-_MOST_NOTES]
        database.executemany(_NOTE, [_note_row(one) for one in self._unwritten])

    def tidy(self) -> None:
        """Make coarser points, and delete what is too old or too much."""
        assert self._database is not None
        now = self._clock()
        with self._database:
            roll_up(self._database, now)
            forget(self._database, now)
        shrink(self._database, self._most_bytes)
        self._database.commit()

    def _take_one(self) -> None:
        try:
            self._waiting.get_nowait()
        except queue.Empty:
            return

    def _run(self) -> None:
        while (snapshot := self._waiting.get()) is not None:
            try:
                self._reopen_if_lost()
                if self._database is None:
                    self.errors += 1
                    continue
                self.write(snapshot)
                if time.monotonic() - self._tidied > _TIDY_EVERY_S:
                    self._tidied = time.monotonic()
                    self.tidy()
            except (sqlite3.Error, OSError, GpuDoctorError) as error:
                with contextlib.suppress(OSError):
                    self._failed(error)
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error), self._database:
                self._write_notes(self._database)
            self._database.close()
        if self._lock is not None:
            os.close(self._lock)

    def _failed(self, error: Exception) -> None:
        if not self.errors:
            _LOG.warning("the history %s cannot be written: %s", self._path, error)
        self.errors += 1
        self._gpus.clear()
        del self._events[:-_WAITING]
        code = getattr(error, "sqlite_errorcode", None)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) and self._database is not None:
            self._database.close()
            self._database = None
            move_aside(self._path)

    def _reopen_if_lost(self) -> None:
        if self._database is None and time.monotonic() > self._retry_at:
            self._retry_at = time.monotonic() + _REOPEN_EVERY_S
            self._database = open_to_write(self._path)

    def _known(self, snapshot: Snapshot) -> list[Device]:
        return [device for device in snapshot.devices if device.uuid in self._gpus]

    def _remember_gpus(self, database: sqlite3.Connection, snapshot: Snapshot) -> None:
        for device in snapshot.devices:
            facts = device.facts
            if facts.pci_bus_id and facts.uuid not in self._gpus:
                row = (facts.uuid, facts.index, facts.name, facts.memory_total_bytes)
                [(number,)] = database.execute(
                    "INSERT INTO gpu (uuid, position, name, memory_total) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (uuid) DO UPDATE SET position = excluded.position RETURNING id",
                    row,
                ).fetchall()
                self._gpus[facts.uuid] = int(number)

    def _point(self, device: Device, at: int) -> tuple[float | int | None, ...]:
        number = self._gpus[device.uuid]
        if device.state in (DeviceState.STALE, DeviceState.LOST):
            return (number, at, 0, None, None, None, None, None, None, None)
        reasons = device.clocks.reasons
        slowed = None if reasons is None else float(bool(set(reasons) - _NO_SLOWDOWN))
        return (
            number,
            at,
            1,
            device.utilization.gpu_ratio,
            device.gpm.sm_active_ratio,
            device.memory.used_bytes,
            device.power.usage_watts,
            device.thermal.gpu_celsius,
            device.clocks.sm_hertz,
            slowed,
        )

    def _processes(self, snapshot: Snapshot, at: int) -> list[tuple[object, ...]]:
        up = {it.uuid for it in self._known(snapshot) if it.state is not DeviceState.STALE}
        return [
            self._process(process, use, at)
            for process in snapshot.processes
            for use in _by_gpu(process)
            if use.uuid in up
        ]

    def _process(self, process: GpuProcess, use: GpuUse, at: int) -> tuple[object, ...]:
        started = -1 if process.started is None else int(process.started * 1000)
        told = use.sm_ratio is not None
        return (
            process.pid,
            started,
            self._gpus[use.uuid],
            process.user,
            process.name,
            json.dumps(process.command),
            at,  # first and last seen
            at,
            use.memory_used_bytes,  # the most, and the last
            use.memory_used_bytes,
            use.sm_ratio or 0.0,
            int(told),
        )


def _note_row(note: Note) -> tuple[object, ...]:
    what = (note.kind, note.name, note.severity, note.text, int(note.ended))
    return (int(note.at * 1000), *what, json.dumps(note.gpus), note.pid)


def _by_gpu(process: GpuProcess) -> list[GpuUse]:
    """One use for each GPU: a process may be on one twice, as on two MIG instances."""
    found: dict[str, GpuUse] = {}
    for use in process.gpus:
        known = found.get(use.uuid)
        if known is None or (use.memory_used_bytes or 0) > (known.memory_used_bytes or 0):
            found[use.uuid] = use
    return list(found.values())

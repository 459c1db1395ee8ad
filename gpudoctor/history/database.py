"""The flight recorder's SQLite file: where it lies, its tables, and how it is opened."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
import time
from pathlib import Path

import platformdirs

from gpudoctor.errors import ExitCode, GpuDoctorError

FILE = "history.sqlite3"
VERSION = 2
# What this gpudoctor can read; the first had no notes, and is given them when it is written to.
READABLE = (1, 2)
_BUSY_S = 5.0
_LOG = logging.getLogger(__name__)

# Points are kept in tiers: as sampled, in steps of 10 s and of 60 s. Times are milliseconds since the
# epoch, so that they are small whole numbers.
_TABLES = """
CREATE TABLE source (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE gpu (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, position INTEGER NOT NULL,
    name TEXT NOT NULL, memory_total INTEGER
);
CREATE TABLE point (
    tier INTEGER NOT NULL, gpu INTEGER NOT NULL, at INTEGER NOT NULL, up REAL NOT NULL,
    utilization REAL, sm_active REAL, memory_used INTEGER, power REAL, temperature REAL,
    sm_clock REAL, slowed REAL,
    PRIMARY KEY (tier, gpu, at)
) WITHOUT ROWID;
CREATE INDEX point_by_time ON point (tier, at);
CREATE TABLE process (
    pid INTEGER NOT NULL, started INTEGER NOT NULL, gpu INTEGER NOT NULL,
    user TEXT, name TEXT, command TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    memory_peak INTEGER, memory_last INTEGER, sm_sum REAL NOT NULL, sm_count INTEGER NOT NULL,
    PRIMARY KEY (pid, started, gpu)
) WITHOUT ROWID;
CREATE INDEX process_by_time ON process (last_seen);
CREATE TABLE event (
    at INTEGER NOT NULL, uuid TEXT NOT NULL, kind TEXT NOT NULL, code INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX event_by_time ON event (at);
"""
_NOTES = """
CREATE TABLE note (
    at INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, severity TEXT NOT NULL,
    text TEXT NOT NULL, ended INTEGER NOT NULL, gpus TEXT NOT NULL, pid INTEGER
);
CREATE INDEX note_by_time ON note (at);
"""
# What is to be made, by the version that is found.
_STEPS = {0: _TABLES + _NOTES, 1: _NOTES}


def default_path() -> Path:
    """Where this user's daemon keeps its history; systemd names the folder of the system's."""
    named = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return (Path(named) if named else platformdirs.user_state_path("gpudoctor")) / FILE


def lock(path: Path) -> int:
    """An open file that keeps other daemons from writing to `path` until it is closed.

    Raises:
        GpuDoctorError: another daemon has it.
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(
        path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise GpuDoctorError(
            f"the history {path} is in use",
            cause="Another `gpudoctor serve` writes it.",
            hint="Name another file with --history, or give --no-history.",
        ) from error
    return held


def open_to_write(path: Path) -> sqlite3.Connection:
    """The database, made if it is not there. One that is broken is moved aside.

    Raises:
        OSError, sqlite3.Error: it can neither be opened nor made.
    """
    try:
        return _prepared(path)
    except sqlite3.DatabaseError as error:
        # A full disk or a lock says nothing against the file; only these say that it is broken.
        if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
    move_aside(path)
    return _prepared(path)


def open_to_read(path: Path) -> sqlite3.Connection:
    """The database, which nothing is written to.

    Raises:
        GpuDoctorError: there is none, or it cannot be read.
    """
    try:
        path.stat()
        # Not by opening it: to close it again would take the locks from a recorder in this process.
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (FileNotFoundError, NotADirectoryError):
        raise GpuDoctorError(
            f"there is no history at {path}",
            cause="The flight recorder is a part of `gpudoctor serve`, which has not recorded here; a "
            "simulated or replayed machine is recorded only with --history FILE.",
            hint="Start `gpudoctor serve`, or name another file with --file.",
            exit_code=ExitCode.UNAVAILABLE,
        ) from None
    except OSError as error:
        raise GpuDoctorError(
            f"the history {path} cannot be read",
            cause=error.strerror,
            hint="Its owner may read it, and root.",
            exit_code=ExitCode.UNAVAILABLE,
        ) from error
    try:
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        found = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise GpuDoctorError(
            f"the history {path} cannot be read",
            cause=str(error),
            exit_code=ExitCode.UNAVAILABLE,
        ) from error
    if found not in READABLE:
        database.close()
        raise GpuDoctorError(
            f"the history {path} is of another version of gpudoctor",
            cause=f"It has layout {found}; this gpudoctor reads {', '.join(map(str, READABLE))}.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    return database


def _prepared(path: Path) -> sqlite3.Connection:
    # Users and command lines are no public matter.
    path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        # In WAL mode this survives the death of the process whole, and a power cut without damage.
        database.execute("PRAGMA synchronous = NORMAL")
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found in _STEPS:
            steps = _STEPS[found]
            database.executescript(f"BEGIN; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
        elif found != VERSION:
            raise GpuDoctorError(
                f"the history {path} is of another version of gpudoctor",
                hint="Move it away, or name another file with --history.",
            )
    except BaseException:
        database.close()
        raise
    return database


def move_aside(path: Path) -> None:
    """Rename a broken database, so that a new one can be begun and the old one be looked at."""
    kept = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    path.replace(kept)
    _LOG.warning("the history %s is damaged: it was moved to %s, and a new one begun", path, kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)

"""Answers what the flight recorder remembers; bounded, and away from the thread of all connections."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl

from gpudoctor.daemon.http import Request, Response
from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.history.moments import moment
from gpudoctor.history.reader import read_history
from gpudoctor.model.codec import envelope, to_builtins

PATHS = ("/api/v1/history", "/api/v1/events")
# Of points in all, of processes and of events: some 1 MB of JSON.
MOST_ROWS = 4000
_WAITING = 8
_KNOWN = {"gpu", "since", "until", "pid"}
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: a stretch of time in seconds since the epoch, of a GPU or a process."""

    since: float
    until: float
    gpu: str | None = None
    pid: int | None = None


class Archive:
    """Reads the history at `path`; where it is None, nothing is recorded."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        # Each question is read anew from the disk, so only one is at a time.
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def __call__(self, request: Request) -> Response:
        """The history or its events, as JSON."""
        if self._path is None:
            return _text(HTTPStatus.NOT_FOUND, "no history is recorded")
        try:
            question = parse_question(request.query)
        except ValueError as error:
            return _text(HTTPStatus.BAD_REQUEST, str(error))
        if self._waiting >= _WAITING:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "too many ask for history; ask again")
        self._waiting += 1
        try:
            async with self._turn:
                packed = request.accepts("accept-encoding", "gzip")
                only_events = request.path.endswith("/events")
                body = await asyncio.to_thread(_read, self._path, question, only_events, packed)
        except GpuDoctorError as error:
            gone = error.exit_code is ExitCode.UNAVAILABLE
            status = HTTPStatus.SERVICE_UNAVAILABLE if gone else HTTPStatus.NOT_FOUND
            return _text(status, error.message)
        finally:
            self._waiting -= 1
        coding = {"Content-Encoding": "gzip"} if packed else {}
        head = {"Vary": "Accept-Encoding", "Cache-Control": "no-store"}
        return Response(body, _JSON, headers=head | coding)


def parse_question(query: str) -> Question:
    """The question in a query string; the last hour where it says no time.

    Raises:
        ValueError: it says something unknown, twice, or that makes no sense.
    """
    told = parse_qsl(query, keep_blank_values=True, max_num_fields=8)
    names = [name for name, _ in told]
    for name in names:
        if name not in _KNOWN:
            raise ValueError(f"unknown: {name!r}; known are {', '.join(sorted(_KNOWN))}")
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice")
    values: Mapping[str, str] = dict(told)
    until = moment(values["until"]) if "until" in values else time.time()
    since = moment(values.get("since", "1h"))
    if not since < until:
        raise ValueError("since must lie before until")
    pid = values.get("pid")
    if pid is not None and not (pid.isascii() and pid.isdigit() and len(pid) < 11):
        raise ValueError(f"{pid!r} is no pid")
    return Question(since, until, values.get("gpu") or None, None if pid is None else int(pid))


def _read(path: Path, question: Question, only_events: bool, packed: bool) -> bytes:
    told = read_history(
        path,
        since=question.since,
        until=question.until,
        gpu=question.gpu,
        pid=question.pid,
        most=MOST_ROWS,
    )
    values = to_builtins(told)
    if only_events:
        kept = {name: values[name] for name in ("since", "until", "events", "notes")}
        body = envelope("gpudoctor.events/1", kept)
    else:
        body = envelope("gpudoctor.history/1", values)
    return gzip.compress(body, 1, mtime=0) if packed else body


def _text(status: HTTPStatus, text: str) -> Response:
    # What was sent is repeated, so nothing of it may be taken for anything but text.
    return Response(f"{text}\n".encode("ascii", "backslashreplace"), status=status)

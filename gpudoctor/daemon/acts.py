"""When the reclaim policy ended processes, kept in a file: its limit outlasts the daemon."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from gpudoctor.daemon.policy import MOST_PER_HOUR
from gpudoctor.fileio import replace_file

HOUR_S = 3600.0
_SCHEMA = "gpudoctor.reclaimed/1"
_LOG = logging.getLogger(__name__)


class ActLog:
    """The acts of the last hour, by the clock of the machine, which goes on while no daemon runs."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def ages(self) -> list[float]:
        """How many seconds ago there were acts, the longest first; none is older than an hour.

        A file that is damaged says nothing of how many there were, so the limit counts as reached.
        """
        now = self._clock()
        try:
            return sorted((now - at for at in self._recent(now)), reverse=True)
        except (OSError, ValueError) as error:
            _LOG.warning(
                "reclaim policy: nothing is ended for an hour: how many were ended before cannot be "
                "read from %s: %s",
                self._path,
                error,
            )
            return [0.0] * MOST_PER_HOUR

    def add(self) -> None:
        """Write down that a process is being ended now.

        Raises:
            OSError: it could not be written.
        """
        now = self._clock()
        try:
            before = self._recent(now)
        except ValueError:
            before = []
        told = {"schema": _SCHEMA, "ended_at": [*before, now]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, (json.dumps(told) + "\n").encode())

    def _recent(self, now: float) -> list[float]:
        """Those of the last hour; what the clock, set back since, puts into the future is of now.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not what `add` writes.
        """
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        times = told.get("ended_at") if isinstance(told, dict) else None
        if not isinstance(times, list) or not all(map(_is_time, times)):
            raise ValueError("it has no list of times")
        return [min(at, now) for at in times if now - at < HOUR_S]


def _is_time(told: object) -> bool:
    return isinstance(told, float) and math.isfinite(told)

"""Counts every Python call of the script with cProfile; only where that was asked for."""

from __future__ import annotations

import os
from typing import Any, List, Optional

from .code_paths import is_runner

_MOST = 300


class Calls:
    """cProfile from the script's first line to its last. Its cost is some ten percent of Python code."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "calls.pstats")
        self._profile: Any = None
        self._rows: Optional[List[List[Any]]] = None

    def start(self) -> None:
        """Begin to count in this thread."""
        import cProfile

        self._profile = cProfile.Profile()
        self._profile.enable()

    def stop(self) -> None:
        """End, and write calls.pstats for the tools that read it; does nothing where none runs."""
        if self._profile is None:
            return
        self._profile.disable()
        self._profile.create_stats()
        stats, self._rows = self._profile.stats, []
        try:
            self._profile.dump_stats(self._path)
        except OSError:
            pass
        self._profile = None
        for (file, line, name), (primitive, calls, own, total, _) in stats.items():
            if not is_runner(file):
                self._rows.append([name, file, line, primitive, calls, own, total])
        self._rows.sort(key=lambda row: -row[5])
        del self._rows[_MOST:]

    def as_list(self) -> Optional[List[List[Any]]]:
        """[name, file, line, primitive calls, calls, own seconds, total seconds], most costly first."""
        return self._rows

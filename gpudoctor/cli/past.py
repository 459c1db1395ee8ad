"""What was recorded before the terminal UI was opened: asked of the daemon, or read from its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.values import History

if TYPE_CHECKING:
    from gpudoctor.daemon.client import Client

# Of all GPUs together; a graph has no room for more.
_MOST_POINTS = 16_000


class DaemonPast:
    """Asks a daemon."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read(self, since: float, until: float) -> History | None:
        """The recordings of that time; None where the daemon has none."""
        from gpudoctor.daemon.client import NoAnswerError

        try:
            return self._client.history(since, until)
        except NoAnswerError:
            return None


class FilePast:
    """Reads the recorder's file, which may be of a daemon that this user cannot ask."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, since: float, until: float) -> History | None:
        """The recordings of that time; None where the file cannot be read, or tells of a made-up machine."""
        from gpudoctor.history.reader import read_history

        try:
            found = read_history(self._path, since=since, until=until, most=_MOST_POINTS)
        except GpuDoctorError:
            return None
        return None if found.simulated or "replay" in found.sources else found

"""What a daemon knows beside its snapshots: what was recorded, asked for or read, and what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.daemon.client import Client
    from gpudoctor.history.values import History
    from gpudoctor.model.check import Inspected

# Of all GPUs together; a graph has no room for more.
_MOST_POINTS = 16_000


class UiPast:
    """Asks the daemon that is used now; without one, reads the recorder's file.

    The file may be of a daemon that this user cannot ask. Both are looked for anew at each question.
    """

    def __init__(
        self, client: Callable[[], Client | None], recordings: Callable[[], Path | None]
    ) -> None:
        self._client = client
        self._recordings = recordings

    def read(self, since: float, until: float) -> History | None:
        """The recordings of that time; None where there are none."""
        client = self._client()
        return self._read_file(since, until) if client is None else _asked(client, since, until)

    def findings(self) -> Inspected | None:
        """What the checks of the daemon found; None without one that has looked."""
        from gpudoctor.daemon.client import NoAnswerError

        client = self._client()
        try:
            return None if client is None else client.findings()
        except NoAnswerError:
            return None

    def _read_file(self, since: float, until: float) -> History | None:
        path = self._recordings()
        if path is None:
            return None
        from gpudoctor.history.reader import read_history

        try:
            found = read_history(path, since=since, until=until, most=_MOST_POINTS)
        except GpuDoctorError:
            return None
        # A made-up machine's past is not this one's.
        return None if found.simulated or "replay" in found.sources else found


def _asked(client: Client, since: float, until: float) -> History | None:
    from gpudoctor.daemon.client import NoAnswerError

    try:
        return client.history(since, until)
    except NoAnswerError:
        return None

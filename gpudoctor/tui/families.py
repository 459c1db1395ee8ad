"""What launched the processes on the GPUs, read now and then beside the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from textual.app import App

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.listing import Above
from gpudoctor.model.process import GpuProcess, ProcessKey
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.family import Families
from gpudoctor.tui.looking import apart

# A process whose parent ends gets another one; which, is told by no event.
_OLDEST_S = 5.0
# A recording knows who launched a process by the pid alone, which stands in the row.
_UNNAMED = "its launcher, no name recorded"


def read_families(rows: Sequence[GpuProcess]) -> Families:
    """The ancestors of each; reads files, so never to be called in the painting thread."""
    from gpudoctor.host.origins import ancestors

    return {row.key: ancestors(row.pid) for row in rows if row.visible}


def played_families(snapshot: Snapshot) -> Families:
    """The same of a simulated machine, or of a recorded one, of which only the parents' pids are known."""
    from gpudoctor.nvml.demo import LAUNCHERS

    known = LAUNCHERS if snapshot.simulated else {}
    return {
        row.key: known.get(row.parent_pid, (Above(row.parent_pid, _UNNAMED),))
        for row in snapshot.processes
        if row.parent_pid is not None and row.parent_pid > 1
    }


class FamilyBook:
    """Knows the families of the last look, and has them read anew when they may have changed."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._known: Families = {}
        self._of: frozenset[tuple[ProcessKey, int | None]] = frozenset()
        self._at = float("-inf")
        self._asking = False

    def of(self, app: App[None], snapshot: Snapshot) -> Families:
        """What is known now; what is asked for meanwhile is told by `arrived`."""
        rows = snapshot.processes
        if snapshot.source != "nvml":
            return played_families(snapshot)
        present = frozenset((row.key, row.parent_pid) for row in rows)
        now = time.monotonic()
        if not self._asking and (present != self._of or now - self._at > _OLDEST_S):
            self._asking, self._of, self._at = True, present, now
            apart(app, lambda: read_families(rows), self._take)
        return self._known

    def _take(self, came: Families | GpuDoctorError) -> None:
        self._asking = False
        if not isinstance(came, GpuDoctorError) and came != self._known:
            self._known = came
            self._arrived()

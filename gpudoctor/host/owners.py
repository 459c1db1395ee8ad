"""Reads on whose behalf processes run, once for each process and again after a while."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gpudoctor.host.proc_files import parse_cgroup, read_text
from gpudoctor.model.owner import Owner
from gpudoctor.model.process import GpuProcess, ProcessKey

# Moving a process to another group after its start is rare: batch systems do it in its first moments.
_AGAIN_S = 60.0
_SHORT_ID = 12
# With systemd's driver the dashes are underscores; a pod from a file on the node has none at all.
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?![0-9a-f])")


def parse_owner(cgroup: str) -> Owner:
    """The owner that the text of /proc/PID/cgroup names."""
    placement = parse_cgroup(cgroup)
    pod = _POD.search(cgroup)
    container = placement.container
    return Owner(
        placement.slurm_job,
        pod.group(1).replace("_", "-") if pod else None,
        container[:_SHORT_ID] if container else None,
    )


class OwnerReader:
    """`of` reads below `root` (/proc), one small file for each process that is new."""

    def __init__(
        self, root: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._clock = clock
        self._known: dict[ProcessKey, tuple[float, Owner]] = {}

    def of(self, processes: Iterable[GpuProcess]) -> dict[int, Owner]:
        """The owners by pid; a process that cannot be seen has none."""
        now = self._clock()
        known: dict[ProcessKey, tuple[float, Owner]] = {}
        for process in processes:
            if process.visible:
                read = self._known.get(process.key)
                if read is None or now - read[0] >= _AGAIN_S:
                    text = read_text(f"{self._root}/{process.pid}/cgroup")
                    read = now, parse_owner(text or "")
                known[process.key] = read
        self._known = known
        return {key.pid: owner for key, (_, owner) in known.items()}

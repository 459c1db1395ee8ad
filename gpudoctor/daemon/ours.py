"""A daemon's snapshot as this user would see it: the daemon may have other rights, and looked earlier."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from gpudoctor.daemon.client import NoAnswerError, NotForUsError
from gpudoctor.host.proc_files import TICKS_PER_SECOND, boot_time, read_stat
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot

PROC = Path("/proc")
# Two ways of reading a start time agree to within a tick of the kernel's clock.
_SAME_START_S = 1.0


def as_we_see(seen: Snapshot, *, current: bool = False, root: Path = PROC) -> Snapshot:
    """The snapshot without what is hidden from this user.

    Raises:
        NoAnswerError: this user sees processes that are hidden from the daemon.
        NotForUsError: with `current`, a process has ended since; its memory would seem to be nobody's.
    """
    booted = boot_time(root)
    kept = tuple(_ours(process, booted, current, root) for process in seen.processes)
    return replace(seen, processes=kept)


def _ours(process: GpuProcess, booted: float, current: bool, root: Path) -> GpuProcess:
    stat = read_stat(root, process.pid)
    if process.started is None or not process.visible:
        if stat is not None:
            raise NoAnswerError(f"process {process.pid} is hidden from it")
        return process
    if stat is None:
        lives = _exists(process.pid)
    else:
        began = booted + stat.start_ticks / TICKS_PER_SECOND
        lives = abs(began - process.started) <= _SAME_START_S
    if current and not lives:
        raise NotForUsError(f"process {process.pid} has ended since")
    if lives and stat is None:
        return GpuProcess(process.pid, None, process.gpus, process.memory_used_bytes, False)
    return process


def _exists(pid: int) -> bool:
    """Whether there is such a process, also where /proc hides it (hidepid)."""
    try:
        os.close(os.pidfd_open(pid))
    except OSError:
        return False
    return True

"""Tells whether a pid still means the process that was looked at."""

from __future__ import annotations

from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.proc_files import TICKS_PER_SECOND, boot_time, read_stat

# Two ways of reading a start time agree to within a tick of the kernel's clock.
_SAME_START_S = 1.0


def identity(pid: int, started: float | None, *, root: Path = Path("/proc")) -> int:
    """The start time in ticks of the process `pid` that began at `started` (seconds since the epoch).

    Raises:
        GpuDoctorError: it has ended, its pid is another's by now, or it was never visible to us.
    """
    if started is None:
        raise GpuDoctorError(
            f"process {pid} cannot be reached",
            cause="it is not visible from here: another container, or another user's",
        )
    stat = read_stat(root, pid)
    if stat is None:
        raise GpuDoctorError(f"process {pid} has ended")
    if abs(boot_time(root) + stat.start_ticks / TICKS_PER_SECOND - started) > _SAME_START_S:
        raise GpuDoctorError(f"process {pid} has ended", cause=f"that pid is now {stat.name}")
    return stat.start_ticks


def check_same(pid: int, start_ticks: int, *, root: Path = Path("/proc")) -> None:
    """That `pid` is the process with this start time.

    Raises:
        GpuDoctorError: it has ended.
    """
    stat = read_stat(root, pid)
    if stat is None or stat.start_ticks != start_ticks:
        raise GpuDoctorError(f"process {pid} has ended meanwhile", cause="nothing was done")

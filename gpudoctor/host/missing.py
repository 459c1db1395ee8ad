"""Why a pid that somebody gave leads to no process: it ended, it is hidden, or it is another namespace's."""

from __future__ import annotations

from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.lineage import exists, in_initial_namespace

PROC = Path("/proc")
_OUTSIDE = "Run gpudoctor on the host, or start this container with --pid=host."


def no_process(pid: int, root: Path = PROC, *, listed: bool = False) -> GpuDoctorError:
    """The error for `pid`, which /proc does not show.

    `listed` says that the driver names it as the holder of GPU memory.
    """
    if root == PROC and exists(pid):
        return GpuDoctorError(
            f"process {pid} may not be looked at",
            cause="it exists, but /proc hides it from us (hidepid)",
            hint="Run gpudoctor as the user of that process, or as root.",
        )
    if not in_initial_namespace(root):
        return GpuDoctorError(
            f"there is no process {pid} in this container",
            cause=(
                "the driver lists it: it is a process of the host or of another container, which cannot be "
                "reached from here"
                if listed
                else "a pid of the host or of another container means nothing here"
            ),
            hint=_OUTSIDE,
        )
    if listed:
        return GpuDoctorError(
            f"process {pid} has ended, and the driver lists it still",
            cause="its memory can stay while another process has the GPU files open that it opened",
            hint="`gpudoctor orphans` names those that do.",
        )
    return GpuDoctorError(f"there is no process {pid}", hint="See `gpudoctor ps`.")

"""The Python stacks of a running process at this moment, by py-spy in a process of its own."""

from __future__ import annotations

import subprocess

from gpudoctor.errors import GpuDoctorError
from gpudoctor.profile.reach import reach

LIMIT_S = 20.0


def can_dump(pid: int) -> str:
    """The py-spy that can look into `pid`.

    Raises:
        GpuDoctorError: none can, with the reason.
    """
    way = reach(pid)
    if way.no_stacks is not None or way.py_spy is None:
        raise GpuDoctorError(f"the stacks of process {pid} cannot be had", cause=way.no_stacks)
    return way.py_spy


def dump(py_spy: str, pid: int, limit_s: float = LIMIT_S) -> tuple[str, ...]:
    """The lines that `py-spy dump` prints: each thread with its frames, the innermost first.

    Raises:
        GpuDoctorError: py-spy failed or did not end in time.
    """
    command = [py_spy, "dump", "--pid", str(pid)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GpuDoctorError("py-spy could not look", cause=str(error)) from error
    lines = tuple(done.stdout.rstrip().splitlines())
    if done.returncode != 0 or not lines:
        said = done.stderr.strip().splitlines()
        raise GpuDoctorError("py-spy could not look", cause=said[-1] if said else None)
    return lines

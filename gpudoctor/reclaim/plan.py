"""Decides who is to be ended and in which order, and refuses what must be left alone. Sends nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.host.holders import all_pids, gpu_files
from gpudoctor.host.lineage import LineageReader
from gpudoctor.host.missing import no_process
from gpudoctor.host.proc_files import read_stat
from gpudoctor.model.ending import Target
from gpudoctor.model.lineage import Ancestor, Lineage
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim import origins
from gpudoctor.reclaim.protection import protection

_LAST_WAVE = 1_000


def plan(
    pids: Sequence[int], snapshot: Snapshot | None, *, root: Path = Path("/proc")
) -> tuple[Target, ...]:
    """The targets in the order of their ending: `pids`, launchers first, then what may be left of them.

    Raises:
        GpuDoctorError: one of `pids` does not exist or must not be touched; then none is.
    """
    reader = LineageReader(root)
    own = own_line(root)
    listed = {row.pid for row in snapshot.processes} if snapshot else set()
    wanted: list[Lineage] = []
    for pid in dict.fromkeys(pids):
        found = reader.read(pid)
        if found is None:
            raise no_process(pid, root, listed=pid in listed)
        wanted.append(found)
    for process in wanted:
        _refuse(process, own)
    chosen = {process.key.pid for process in wanted}
    targets = [_target(process, snapshot, _wave(process, chosen)) for process in wanted]
    for pid in _descendants(root, chosen):
        below = reader.read(pid)
        if below is None or not gpu_files(root, pid):
            continue
        if protection(below, own_uid=os.getuid(), own_line=own) is None:
            wave = _LAST_WAVE - len(below.ancestors)
            targets.append(_target(below, snapshot, wave, only_if_left=True))
    return tuple(sorted(targets, key=lambda target: (target.wave, target.pid)))


def own_line(root: Path = Path("/proc")) -> frozenset[int]:
    """Our own pid and those of all processes above us."""
    line: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        stat = read_stat(root, pid)
        pid = stat.parent_pid if stat else 0
    return frozenset(line)


def _refuse(process: Lineage, own: frozenset[int]) -> None:
    why = protection(process, own_uid=os.getuid(), own_line=own)
    if why is None:
        return
    code = ExitCode.UNAVAILABLE if why.id == "owner" else ExitCode.USAGE
    message = f"process {process.key.pid} ({process.name}) is not to be ended"
    raise GpuDoctorError(message, cause=why.text, hint=why.hint or None, exit_code=code)


def _wave(process: Lineage, chosen: set[int]) -> int:
    """How many of the chosen stand above it: a launcher ends its ranks better than we could."""
    return sum(above.pid in chosen for above in process.ancestors)


def _target(
    process: Lineage, snapshot: Snapshot | None, wave: int, *, only_if_left: bool = False
) -> Target:
    rows = snapshot.processes if snapshot else ()
    row = next((one for one in rows if one.pid == process.key.pid), None)
    return Target(
        pid=process.key.pid,
        start_ticks=process.start_ticks,
        name=process.name,
        command=process.command,
        user=process.user,
        uid=process.uid,
        memory_used_bytes=row.memory_used_bytes if row else None,
        stopped=process.state == "T",
        wave=wave,
        only_if_left=only_if_left,
        note=None if only_if_left else _note(process),
    )


def _note(process: Lineage) -> str | None:
    launcher = _launcher(process)
    if launcher is not None:
        return f"its launcher {launcher.pid} lives and may start it again: end that one instead"
    if process.placement.slurm_job is not None:
        return f"it is part of Slurm job {process.placement.slurm_job}: scancel ends all of it"
    return None


def _launcher(process: Lineage) -> Ancestor | None:
    if not origins.is_rank(process) or process.parent is None:
        return None
    return process.parent if origins.may_launch(process.parent) else None


def _descendants(root: Path, chosen: set[int]) -> list[int]:
    """Every process below the chosen ones that is not chosen itself."""
    parents = {pid: stat.parent_pid for pid in all_pids(root) if (stat := read_stat(root, pid))}
    found: list[int] = []
    for pid in parents:
        above, seen = parents[pid], {pid}
        while above in parents and above not in chosen and above not in seen:
            seen.add(above)
            above = parents[above]
        if above in chosen and pid not in chosen:
            found.append(pid)
    return found

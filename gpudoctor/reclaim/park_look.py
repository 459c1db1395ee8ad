"""Looks at a process that is to be parked, and at all around it that matters."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from gpudoctor.host.headroom import memory_headroom
from gpudoctor.host.holders import all_pids, gpu_files
from gpudoctor.host.lineage import LineageReader
from gpudoctor.host.missing import no_process
from gpudoctor.host.proc_files import parse_status, read_environment, read_stat, read_text
from gpudoctor.model.lineage import Lineage
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.park_conditions import Subject
from gpudoctor.reclaim.plan import own_line
from gpudoctor.reclaim.protection import Protection, protection

_CAP_SYS_PTRACE = 1 << 19
_LOOKS = 20
_PAUSE_S = 0.1
_MPS_SERVER = "nvidia-cuda-mps"


def look(pid: int, snapshot: Snapshot, root: Path = Path("/proc")) -> Subject:
    """The process as it is now.

    Raises:
        GpuDoctorError: there is no such process.
    """
    process = _settled(LineageReader(root), pid)
    row = next((one for one in snapshot.processes if one.pid == pid), None)
    if process is None:
        raise no_process(pid, root, listed=row is not None)
    uuids = {use.uuid for use in row.gpus} if row else set()
    environment = read_environment(root, pid)
    status = parse_status(read_text(root / str(pid) / "status") or "")
    below, mps = _others(pid, root)
    return Subject(
        process=process,
        row=row,
        devices=tuple(device for device in snapshot.devices if device.uuid in uuids),
        driver=snapshot.driver.version,
        machine=platform.machine(),
        is_thread=status.get("Tgid", str(pid)) != str(pid),
        environment_read=environment is not None,
        ranks=_ranks(environment),
        holders_below=below,
        headroom_bytes=memory_headroom(pid, root.parent),
        may_enter_all=may_enter_all(root),
        guard=_guard(process, root),
        mps_server=mps,
    )


def _settled(reader: LineageReader, pid: int) -> Lineage | None:
    """The process; one that waits for a disk is looked at again, as that passes where nothing is wrong."""
    process = reader.read(pid)
    for _ in range(_LOOKS):
        if process is None or process.state != "D":
            break
        time.sleep(_PAUSE_S)
        process = reader.read(pid)
    return process


def may_enter_all(root: Path = Path("/proc")) -> bool:
    """Whether we are root or hold CAP_SYS_PTRACE."""
    if os.geteuid() == 0:
        return True
    status = parse_status(read_text(root / "self/status") or "")
    return bool(int(status.get("CapEff", "0"), 16) & _CAP_SYS_PTRACE)


def _guard(process: Lineage, root: Path) -> Protection | None:
    """Why it is to be left alone. A service may be parked: it lives on, other than when it is ended."""
    found = protection(process, own_uid=os.getuid(), own_line=own_line(root))
    return None if found is not None and found.id == "service" else found


def _ranks(environment: dict[str, str] | None) -> int | None:
    value = (environment or {}).get("WORLD_SIZE", "")
    return int(value) if value.isdigit() else None


def _others(pid: int, root: Path) -> tuple[tuple[int, ...], bool]:
    """The descendants that have a GPU open, and whether an MPS server runs."""
    stats = {one: stat for one in all_pids(root) if (stat := read_stat(root, one))}
    below: list[int] = []
    for one in stats:
        above, seen = stats[one].parent_pid, {one}
        while above in stats and above != pid and above not in seen:
            seen.add(above)
            above = stats[above].parent_pid
        if above == pid and one != pid and gpu_files(root, one):
            below.append(one)
    mps = any(stat.name.startswith(_MPS_SERVER) for stat in stats.values())
    return tuple(sorted(below)), mps

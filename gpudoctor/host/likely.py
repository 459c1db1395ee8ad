"""Who may hold memory that no listed process owns up to: those that have the GPU open or mapped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gpudoctor.host.holders import all_pids, gpu_files, minors, only_gpu_files
from gpudoctor.host.proc_files import read_stat, read_text, read_words
from gpudoctor.model.selection import Holder, Unlisted
from gpudoctor.model.snapshot import Snapshot

PROC = Path("/proc")


def with_holders(
    gaps: Iterable[Unlisted], snapshot: Snapshot, root: Path = PROC
) -> tuple[Unlisted, ...]:
    """The gaps, each with the processes that have its GPU open and are not listed on it."""
    gaps = tuple(gaps)
    if not gaps:
        return ()
    opened = open_minors(root)
    all_seen = os.geteuid() == 0
    return tuple(
        msgspec.structs.replace(
            gap, holders=_holders(gap, snapshot, opened, root), all_seen=all_seen
        )
        for gap in gaps
    )


def open_minors(root: Path = PROC) -> dict[int, frozenset[int]]:
    """The minor numbers of the GPUs that each process has open or mapped, without our own."""
    found: dict[int, frozenset[int]] = {}
    for pid in all_pids(root):
        files = gpu_files(root, pid)
        if pid == os.getpid() or files is None:
            continue
        numbers = minors(files) or minors(_mapped(root, pid))
        if numbers:
            found[pid] = numbers
    return found


def _mapped(root: Path, pid: int) -> tuple[str, ...]:
    """The GPUs' files among the mappings: they keep memory after their descriptor was closed."""
    text = read_text(root / str(pid) / "maps") or ""
    if "/dev/nvidia" not in text:
        return ()
    names = (line.partition("/")[2] for line in text.splitlines() if "/dev/nvidia" in line)
    return only_gpu_files("/" + name for name in names)


def _holders(
    gap: Unlisted, snapshot: Snapshot, opened: dict[int, frozenset[int]], root: Path
) -> tuple[Holder, ...]:
    device = snapshot.device(gap.uuid)
    number = device.facts.minor_number if device else None
    here = {row.pid for row in snapshot.processes if any(use.uuid == gap.uuid for use in row.gpus)}
    pids = (pid for pid, numbers in opened.items() if number is None or number in numbers)
    found = (_holder(pid, root) for pid in pids if pid not in here)
    return tuple(one for one in found if one is not None)


def _holder(pid: int, root: Path) -> Holder | None:
    from gpudoctor.host.procs import user_name

    stat = read_stat(root, pid)
    if stat is None:
        return None
    try:
        user = user_name((root / str(pid)).stat().st_uid)
    except OSError:
        user = None
    return Holder(pid, stat.name, read_words(root / str(pid) / "cmdline"), user)

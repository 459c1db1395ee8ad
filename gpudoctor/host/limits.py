"""What the machine allows us: shared memory, resource limits, the control group's share."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from gpudoctor.host.containers import read_text
from gpudoctor.model.environment import Limits

# A v1 control group without a limit names the largest page-aligned number instead of "max".
_NO_LIMIT = 1 << 60


def limits(root: Path = Path("/")) -> Limits:
    """The limits of this process; None where there is none or it cannot be read."""
    shm_total, shm_free = _shared_memory(root)
    return Limits(
        shm_total_bytes=shm_total,
        shm_free_bytes=shm_free,
        locked_memory_bytes=_soft(resource.RLIMIT_MEMLOCK),
        open_files=_soft(resource.RLIMIT_NOFILE),
        processes=_soft(resource.RLIMIT_NPROC),
        cgroup_memory_bytes=_cgroup_memory(root),
        cgroup_cpus=_cgroup_cpus(root),
    )


def _shared_memory(root: Path) -> tuple[int | None, int | None]:
    try:
        facts = os.statvfs(root / "dev/shm")
    except OSError:
        return None, None
    return facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize


def _soft(which: int) -> int | None:
    soft, _ = resource.getrlimit(which)
    return None if soft == resource.RLIM_INFINITY else soft


def _folders(root: Path, controller: str) -> list[Path]:
    """The control group's folders from ours to the top: the tightest limit on the way holds."""
    rows = [line.split(":", 2) for line in read_text(root / "proc/self/cgroup").splitlines()]
    top, inner = root / "sys/fs/cgroup", ""
    for row in rows:
        if len(row) == 3 and controller in row[1].split(","):
            top, inner = top / controller, row[2]
            break
        if len(row) == 3 and row[1] == "":
            inner = row[2]
    here = top / inner.strip("/")
    # Inside a container the named folder is often outside of what is mounted.
    return [here, *(folder for folder in here.parents if folder.is_relative_to(top))]


def _cgroup_memory(root: Path) -> int | None:
    found = []
    for folder in _folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = read_text(folder / name).strip()
            if text.isdigit() and int(text) < _NO_LIMIT:
                found.append(int(text))
    return min(found, default=None)


def _cgroup_cpus(root: Path) -> float | None:
    found = []
    for folder in _folders(root, "cpu"):
        words = read_text(folder / "cpu.max").split()
        if not words:
            words = [
                read_text(folder / name).strip()
                for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            ]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            found.append(int(words[0]) / int(words[1]))
    return min(found, default=None)

"""How many CPUs this process may use, and what was said about that from outside. Linux; None elsewhere."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Set

_CPUS = "/sys/devices/system/cpu"
_CGROUPS = "/sys/fs/cgroup"


def cpu_facts() -> Dict[str, Any]:
    """CPU cores below the CPUs that this process may run on, the time it gets on them by its control
    group (in CPUs), how many ranks torchrun started beside it, and OMP_NUM_THREADS as it stands."""
    return {
        "cores": _cores(),
        "quota": _quota("/proc/self/cgroup", _CGROUPS),
        "local_ranks": _number(os.environ.get("LOCAL_WORLD_SIZE")),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and text.isdigit() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _cores() -> Optional[int]:
    """Two hardware threads of one core are one: torch, too, starts with a thread for each core."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    seen: Set[str] = set()
    for cpu in os.sched_getaffinity(0):
        siblings = _read(f"{_CPUS}/cpu{cpu}/topology/thread_siblings_list")
        seen.add(siblings or str(cpu))
    return len(seen)


def _quota(own: str, top: str) -> Optional[float]:
    """The least that the control groups above this process allow; None: no limit."""
    found = []
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = os.path.join(top, controllers) if controllers else top
        folder = os.path.normpath(root + "/" + path)
        # Inside a container the named folder is often not there, and the root is the container's own.
        while len(folder) >= len(root):
            found.append(_limit(folder))
            folder = os.path.dirname(folder)
    return min((one for one in found if one is not None), default=None)


def _limit(folder: str) -> Optional[float]:
    words = _read(folder + "/cpu.max").split()
    if not words:
        words = [_read(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period")]
    if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()) or not int(words[1]):
        return None
    return int(words[0]) / int(words[1])

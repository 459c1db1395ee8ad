"""Who has the GPUs' device files open, also where the driver does not list them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from gpudoctor.host.proc_files import read_links

_GPU_FILE = re.compile(r"^/dev/nvidia(?:\d+|ctl|-uvm|-caps/.*)?(?: \(deleted\))?$")
_NUMBERED = re.compile(r"^/dev/nvidia(\d+)")
PROC = Path("/proc")


def gpu_files(root: Path, pid: int) -> tuple[str, ...] | None:
    """The /dev/nvidia* files that `pid` has open, sorted; None where we may not look."""
    links = read_links(root / str(pid) / "fd")
    return None if links is None else only_gpu_files(links.values())


def only_gpu_files(targets: Iterable[str]) -> tuple[str, ...]:
    """Those of the descriptors' targets that are a GPU's device files, each once."""
    return tuple(sorted({target for target in targets if _GPU_FILE.match(target)}))


def minors(files: Iterable[str]) -> frozenset[int]:
    """The GPUs' minor numbers among device files: 3 for /dev/nvidia3."""
    found = (_NUMBERED.match(name) for name in files)
    return frozenset(int(match.group(1)) for match in found if match)


def all_pids(root: Path = PROC) -> tuple[int, ...]:
    """Every pid that /proc shows."""
    return tuple(sorted(int(entry.name) for entry in root.iterdir() if entry.name.isdigit()))


def holders(root: Path = PROC) -> dict[int, tuple[str, ...]]:
    """Each process that has a numbered GPU device file open. Another user's are seen by root alone."""
    found: dict[int, tuple[str, ...]] = {}
    for pid in all_pids(root):
        files = gpu_files(root, pid)
        if files and minors(files):
            found[pid] = files
    return found

"""Tells a process that the driver means from another one of our container that has the same number.

Inside a container some drivers list the host's pids. Such a number may be that of a process of ours, which
then would stand there with another's memory, and could be ended for it.
"""

from __future__ import annotations

import re
from pathlib import Path

from gpudoctor.host.lineage import in_initial_namespace
from gpudoctor.host.proc_files import read_links

# What every process has open that uses a GPU; the last is WSL's.
_GPU_FILE = re.compile(r"/dev/(?:nvidia|dxg)")


def possible(root: Path) -> bool:
    """Whether numbers may be confused here: in a pid namespace of our own, beside a real driver."""
    device = root.parent / "dev" / "nvidiactl"
    return not in_initial_namespace(root) and device.exists()


def is_namesake(root: Path, pid: int) -> bool:
    """Whether `pid` has no GPU open, and so is not what the driver means. False where we may not look."""
    links = read_links(root / str(pid) / "fd")
    return links is not None and not any(_GPU_FILE.match(target) for target in links.values())

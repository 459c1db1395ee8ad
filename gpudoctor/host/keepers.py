"""Tells whether a container still has the process that looks after it.

Docker, containerd and Kubernetes keep a containerd-shim for every container, Podman and CRI-O a conmon:
it is above the container's first process, carries the container's id in its command, outlives restarts
of the engine, and is the one that notices the container's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpudoctor.host.proc_files import read_words
from gpudoctor.model.lineage import Ancestor, Placement

_KEEPERS = ("containerd-shim", "conmon", "docker-containe")
# Where the engine itself starts the first process, it stands above it.
_ENGINES = (
    "dockerd",
    "containerd",
    "podman",
    "crio",
    "kubelet",
    "k3s",
    "runc",
    "crun",
    "buildkitd",
)


def kept(root: Path, placement: Placement, ancestors: Sequence[Ancestor]) -> bool | None:
    """Whether somebody looks after the container that `placement` names.

    None for a process in no container, and where what is above it cannot be seen: inside a container
    the engine's processes have no pid. `root` is /proc.
    """
    container = placement.container
    if container is None or not ancestors or ancestors[-1].pid != 1:
        return None
    if not _is_host(root):
        return None
    if any(one.name.startswith((*_KEEPERS, *_ENGINES)) for one in ancestors):
        return True
    return _named(root, container)


def _is_host(root: Path) -> bool:
    """Whether process 2 is the kernel's kthreadd, which only the machine's own pid namespace has."""
    try:
        return (root / "2/comm").read_text().strip() == "kthreadd"
    except OSError:
        return False


def _named(root: Path, container: str) -> bool | None:
    """Whether any command on the machine names the container; None where commands are hidden."""
    seen = False
    for folder in root.iterdir():
        if not folder.name.isdigit():
            continue
        words = read_words(folder / "cmdline")
        seen = seen or (folder.name == "1" and bool(words))
        if any(container in word for word in words):
            return True
    return False if seen else None

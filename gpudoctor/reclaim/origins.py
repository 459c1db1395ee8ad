"""Reads a process's lineage: does its parent still live, and does somebody have it in hand?"""

from __future__ import annotations

from gpudoctor.host.proc_files import whole_number
from gpudoctor.model.lineage import Ancestor, Lineage

_INITS = frozenset({"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit"})
_REAPERS = _INITS | {"s6-svscan", "runsvdir"}
_MULTIPLEXERS = ("tmux", "screen", "SCREEN", "zellij", "dtach", "abduco")
_REMOTE = ("sshd", "code-server", "mosh-server", "dropbear")
_SHELLS = frozenset({"bash", "zsh", "fish", "sh", "dash", "ksh", "tcsh", "csh", "nu", "xonsh"})
_LOADER_WORKER = "pt_data_worker"  # older torch leaves the name "python"
_LAUNCHERS = (
    "python",
    "torchrun",
    "pt_",
    "accelerate",
    "deepspeed",
    "vllm",
    "sglang",
    "ray",
    "tritonserver",
    "jupyter",
)
_REMNANTS = ("VLLM::", "sglang::", "ray::")


def adopted(process: Lineage) -> bool:
    """Whether the parent died and the process was handed to init or to a subreaper.

    A child that init itself started stays in init's session, as in a container without an init; a
    session of its own is what every orphan of a login, a launcher or a terminal has. Where the
    launcher itself is a container's first process, its own children look adopted and are not.
    """
    parent = process.parent
    if parent is None:
        return False
    if parent.name not in _REAPERS and (parent.pid != 1 or may_launch(parent)):
        return False
    shares = parent.session not in (0, None) and parent.session == process.session
    return not shares


def loader_alone(process: Lineage) -> bool:
    """Whether a DataLoader worker has no Python above it that could be its training process."""
    parent = process.parent
    if parent is None or process.name != _LOADER_WORKER:
        return False
    return adopted(process) or (parent.name.lstrip("-") in _SHELLS and not may_launch(parent))


def may_launch(parent: Ancestor) -> bool:
    """Whether the process could be a launcher or training process, by its name and command."""
    words = (parent.name, *parent.command[:2])
    return any(launcher in word.lower() for word in words for launcher in _LAUNCHERS)


def hand(process: Lineage) -> Ancestor | None:
    """The live ancestor that shows that somebody has the process in hand, or None."""
    return next((one for one in process.ancestors if _is_hand(one)), None)


def _is_hand(ancestor: Ancestor) -> bool:
    name = ancestor.name
    if name.startswith(_MULTIPLEXERS) or name.startswith(_REMOTE):
        return True
    return name.lstrip("-") in _SHELLS and ancestor.terminal


def is_rank(process: Lineage) -> bool:
    """A worker that torchrun started."""
    return process.marker("TORCHELASTIC_RUN_ID") is not None


def is_remnant(process: Lineage) -> bool:
    """A worker of vLLM, SGLang or Ray, by the title that it gives itself."""
    title = process.command[0] if process.command else ""
    return process.name.startswith(_REMNANTS) or title.startswith(_REMNANTS)


def is_kernel(process: Lineage) -> bool:
    """A Jupyter kernel."""
    return any("ipykernel" in word for word in process.command)


def server_gone(process: Lineage) -> int | None:
    """The pid of the Jupyter server that started this kernel, where it no longer runs."""
    marker = process.marker("JPY_PARENT_PID")
    server = whole_number(marker)
    if not is_kernel(process) or server is None:
        return None
    if not process.same_namespace or server in process.marker_pids_alive:
        return None
    return server


def is_python(process: Lineage) -> bool:
    """Whether the process looks like a Python interpreter, as far as its name and command tell."""
    words = (process.name, *process.command[:1])
    return any("python" in word or word.startswith("pt_") for word in words)

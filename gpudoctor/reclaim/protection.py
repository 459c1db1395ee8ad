"""What is never touched, and why: the machine's own daemons, ourselves, other people's work."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.model.lineage import Lineage

_DISPLAY = frozenset(
    {"Xorg", "X", "Xwayland", "gnome-shell", "kwin_wayland", "kwin_x11", "weston", "sddm", "gdm"}
)
_DAEMONS = {
    "nvidia-persiste": "it keeps the driver loaded",
    "nvidia-persistenced": "it keeps the driver loaded",
    "nvidia-cuda-mps": "every MPS client shares its context and would die with it",
    "nv-hostengine": "DCGM watches the GPUs; killing it can freeze them",
    "dcgm-exporter": "killing it has been reported to freeze a GPU",
    "dcgm": "DCGM watches the GPUs; killing it can freeze them",
    "nv-fabricmanage": "NVSwitch systems lose their links without it",
    "nv-fabricmanager": "NVSwitch systems lose their links without it",
    "nvsm_core": "it is NVIDIA's system manager",
    "nvidia-imex": "it shares memory between nodes",
}
# Logins without logind, and jobs of cron, run inside the unit of the daemon that started them.
_STARTERS = frozenset(
    {
        "ssh.service",
        "sshd.service",
        "cron.service",
        "crond.service",
        "atd.service",
        "docker.service",
        "containerd.service",
        "slurmd.service",
        "code-server.service",
    }
)


@dataclass(frozen=True, slots=True)
class Protection:
    """Why a process must not be ended by us, and what to do instead."""

    id: str
    text: str
    hint: str


def service_of(process: Lineage) -> str | None:
    """The systemd service that the process is part of, where stopping that unit is the way."""
    unit = process.placement.system_unit
    if unit is not None and unit not in _STARTERS:
        return unit
    own = process.placement.user_unit
    return own if own is not None and own.endswith(".service") else None


def daemon_of(process: Lineage) -> str | None:
    """Why the process is one of the machine's own, or None."""
    if process.name in _DISPLAY:
        return "it draws the screen"
    for name, why in _DAEMONS.items():
        if process.name == name or process.name.startswith(name):
            return why
    return None


def protection(process: Lineage, *, own_uid: int, own_line: frozenset[int]) -> Protection | None:
    """Why `process` must be left alone, or None. `own_line` is our own pid and those above it."""
    pid = process.key.pid
    if pid == 1:
        return Protection("init", "it is the first process of this machine or container", "")
    if pid in own_line:
        return Protection("self", "it is gpudoctor itself or started gpudoctor", "")
    why = daemon_of(process)
    if why is not None:
        return Protection("daemon", f"{process.name} belongs to the machine: {why}", "")
    unit = service_of(process)
    if unit is not None:
        return Protection("service", f"systemd runs it as {unit}", _stop(process, unit))
    if process.tracer_pid is not None:
        return Protection("traced", f"process {process.tracer_pid} debugs it", "Detach that first.")
    if own_uid != 0 and process.uid != own_uid:
        owner = process.user or "another user"
        return Protection("owner", f"it belongs to {owner}", f"Ask {owner}, or an administrator.")
    return None


def _stop(process: Lineage, unit: str) -> str:
    user = " --user" if process.placement.system_unit is None else ""
    return f"systemctl{user} stop {unit}"

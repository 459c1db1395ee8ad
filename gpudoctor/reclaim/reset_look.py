"""Looks at a GPU that is to be reset, and at all that has it open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.containers import container
from gpudoctor.host.holders import all_pids
from gpudoctor.host.likely import open_minors
from gpudoctor.host.proc_files import read_stat, read_text, read_words
from gpudoctor.host.procs import user_name
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.reset import Interrupted
from gpudoctor.model.snapshot import Device, Snapshot
from gpudoctor.reclaim.reset_conditions import Scene, with_peers

ROOT = Path("/")
_FABRIC_MANAGER = "nv-fabricmanage"  # the kernel cuts a name after 15 characters
# The start of the name of a program that keeps GPUs open, and how it is stopped.
_DAEMONS = {
    "nv-hostengine": "sudo systemctl stop nvidia-dcgm",
    "dcgm": "Stop DCGM's exporter.",
    "nvidia-persiste": "sudo systemctl stop nvidia-persistenced",
    "Xorg": "sudo systemctl isolate multi-user.target",
    "Xwayland": "sudo systemctl isolate multi-user.target",
    "gnome-shell": "sudo systemctl isolate multi-user.target",
    "kwin": "sudo systemctl isolate multi-user.target",
    "nvidia-cuda-mps": "echo quit | nvidia-cuda-mps-control",
    _FABRIC_MANAGER: "sudo systemctl stop nvidia-fabricmanager",
    "nvsm": "sudo systemctl stop nvsm",
}
_MONITORS = ("nv-hostengine", "dcgm-exporter", "nvsm_core")
_OURS = "Stop this gpudoctor first (systemctl stop gpudoctor, or Ctrl-C)."


def find(wanted: str, snapshot: Snapshot) -> Device:
    """The GPU with this index, UUID (or its beginning) or PCI bus id.

    Raises:
        GpuDoctorError: there is none, or more than one.
    """
    found = [device for device in snapshot.devices if _named(wanted, device)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{device.index} ({device.uuid})" for device in snapshot.devices)
    raise GpuDoctorError(
        f"there is no GPU {wanted}" if not found else f"{wanted} names {len(found)} GPUs",
        hint=f"There are: {known}.",
    )


def _named(wanted: str, device: Device) -> bool:
    if wanted.isdigit():
        return device.index == int(wanted)
    if wanted.lower() == device.facts.pci_bus_id.lower():
        return True
    return wanted.startswith("GPU-") and device.uuid.startswith(wanted)


def look(target: Device, snapshot: Snapshot, root: Path = ROOT) -> Scene:
    """The GPU, its peers where they must go with it, and what they are used for."""
    proc = root / "proc"
    names = {pid: stat.name for pid in all_pids(proc) if (stat := read_stat(proc, pid))}
    manager = any(name.startswith(_FABRIC_MANAGER) for name in names.values())
    switches = (root / "dev/nvidia-nvswitchctl").exists()
    targets = with_peers(target, snapshot.devices, fabric_manager=manager, switches=switches)
    uuids = {device.uuid for device in targets}
    interrupts = interrupted(targets, snapshot.processes, proc)
    engine = container(os.environ, root)
    return Scene(
        targets=targets,
        interrupts=interrupts,
        busy_elsewhere=_busy(snapshot, uuids),
        monitors=tuple(_watching(names, {one.pid for one in interrupts}, proc)),
        root=os.geteuid() == 0,
        all_seen=os.geteuid() == 0 and engine.kind is None,
        container=engine.kind,
        virtual_machine=_virtual(root),
        drm_loaded="\nnvidia_drm " in "\n" + (read_text(proc / "modules") or ""),
        nvidia_smi=shutil.which("nvidia-smi"),
    )


def interrupted(
    targets: tuple[Device, ...], rows: tuple[GpuProcess, ...], proc: Path
) -> tuple[Interrupted, ...]:
    """Who has one of `targets` open: those that the driver lists, and those whose files show it."""
    by_uuid = {device.uuid: device for device in targets}
    found = {}
    for row in rows:
        here = tuple(dict.fromkeys(use.index for use in row.gpus if use.uuid in by_uuid))
        if here and row.pid != os.getpid():
            found[row.pid] = _listed(row, here, by_uuid)
    numbers = {device.facts.minor_number: device.index for device in targets}
    for pid, minors in open_minors(proc).items():
        here = tuple(sorted(numbers[minor] for minor in minors if minor in numbers))
        if here and pid not in found:
            one = _seen(pid, here, proc)
            if one is not None:
                found[pid] = one
    return tuple(found[pid] for pid in sorted(found))


def _listed(row: GpuProcess, here: tuple[int, ...], by_uuid: dict[str, Device]) -> Interrupted:
    amounts = [use.memory_used_bytes for use in row.gpus if use.uuid in by_uuid]
    known = [amount for amount in amounts if amount is not None]
    name = row.name or "a process that is not visible from here"
    return Interrupted(
        pid=row.pid,
        name=name,
        gpus=here,
        command=row.command,
        user=row.user,
        memory_used_bytes=sum(known) if known else None,
        visible=row.visible,
        daemon=_daemon(name, row.command),
    )


def _seen(pid: int, here: tuple[int, ...], proc: Path) -> Interrupted | None:
    stat = read_stat(proc, pid)
    if stat is None:
        return None
    command = read_words(proc / str(pid) / "cmdline")
    try:
        user = user_name((proc / str(pid)).stat().st_uid)
    except OSError:
        user = None
    daemon = _daemon(stat.name, command)
    return Interrupted(pid, stat.name, here, command, user, listed=False, daemon=daemon)


def _daemon(name: str, command: tuple[str, ...]) -> str | None:
    """How to stop the process, where it is one of the machine's own or a gpudoctor."""
    if _is_ours(command):
        return _OURS
    return next((how for start, how in _DAEMONS.items() if name.startswith(start)), None)


def _is_ours(command: tuple[str, ...]) -> bool:
    """`gpudoctor ...`, `python -m gpudoctor ...` or `python -P -m gpudoctor ...`."""
    words = [word.rpartition("/")[2] for word in command[:4] if word != "-P"]
    return "gpudoctor" in words[:2] or words[1:3] == ["-m", "gpudoctor"]


def _watching(names: dict[int, str], known: set[int], proc: Path) -> Iterator[tuple[int, str]]:
    for pid, name in names.items():
        if pid in known or pid == os.getpid():
            continue
        if name.startswith(_MONITORS):
            yield pid, name
            continue
        command = read_words(proc / str(pid) / "cmdline")
        if _is_ours(command) and "serve" in command:
            yield pid, "gpudoctor serve"


def _busy(snapshot: Snapshot, uuids: set[str]) -> tuple[int, ...]:
    uses = (use for row in snapshot.processes for use in row.gpus)
    return tuple(sorted({use.index for use in uses if use.uuid not in uuids}))


def _virtual(root: Path) -> bool:
    text = read_text(root / "proc/cpuinfo") or ""
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return "hypervisor" in flags.split()

"""The operating system's side of a GPU program: kernel, processor, device files, the PCI bus.

Every file is looked for below `root`, so that a tree of files can stand in for a machine.
"""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from gpudoctor.host import containers
from gpudoctor.host.containers import read_text
from gpudoctor.host.limits import limits
from gpudoctor.host.tools import answer_of
from gpudoctor.model.environment import Cpu, DeviceNode, PciGpu, SystemReport

_NODES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm*", "nvidia-modeset", "nvidia-caps/*", "dxg")
_DISPLAY_CLASSES = ("0x0300", "0x0302")
_NVIDIA = "0x10de"
_LSCPU_LIMIT_S = 3.0


def system_report(environ: Mapping[str, str], root: Path = Path("/")) -> SystemReport:
    """All of it."""
    kernel = read_text(root / "proc/sys/kernel/osrelease").strip()
    return SystemReport(
        os=os_name(root),
        kernel=kernel or None,
        machine=platform.machine(),
        libc="-".join(part for part in platform.libc_ver() if part) or None,
        wsl=containers.wsl(root),
        cpu=cpu(root),
        limits=limits(root),
        container=containers.container(environ, root),
        scheduler=containers.scheduler(environ),
        device_nodes=device_nodes(root),
        pci_gpus=pci_gpus(root),
        groups=_groups(),
    )


def os_name(root: Path = Path("/")) -> str | None:
    """The distribution's name as it gives it, such as `Debian GNU/Linux 12 (bookworm)`."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        for line in read_text(root / name).splitlines():
            key, _, value = line.partition("=")
            if key == "PRETTY_NAME":
                words = shlex.split(value)
                return words[0] if words else None
    return None


def device_nodes(root: Path = Path("/")) -> tuple[DeviceNode, ...]:
    """The NVIDIA device files in /dev, whether we could open them, and their mode and owner."""
    folder = root / "dev"
    paths = {path for pattern in _NODES for path in folder.glob(pattern)}
    return tuple(_node(path, root) for path in sorted(paths) if not path.is_dir())


def _node(path: Path, root: Path) -> DeviceNode:
    shown = "/" + str(path.relative_to(root))
    # access(2) judges by mode, owner and lists; opening a device could wake or hang the driver.
    openable = os.access(path, os.R_OK | os.W_OK)
    try:
        facts = path.stat()
    except OSError:
        return DeviceNode(shown, openable)
    return DeviceNode(shown, openable, stat.filemode(facts.st_mode), _owner(facts))


def _owner(facts: os.stat_result) -> str:
    try:
        user = pwd.getpwuid(facts.st_uid).pw_name
    except KeyError:
        user = str(facts.st_uid)
    return f"{user}:{_group_name(facts.st_gid)}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _groups() -> tuple[str, ...]:
    return tuple(sorted({_group_name(gid) for gid in (*os.getgroups(), os.getegid())}))


def pci_gpus(root: Path = Path("/")) -> tuple[PciGpu, ...]:
    """NVIDIA display and 3D controllers on the bus, with the kernel driver that holds each."""
    folder = root / "sys/bus/pci/devices"
    rows = []
    for device in sorted(folder.iterdir()) if folder.is_dir() else ():
        if read_text(device / "vendor").strip() != _NVIDIA:
            continue
        if not read_text(device / "class").strip().startswith(_DISPLAY_CLASSES):
            continue
        driver = device / "driver"
        name = os.path.basename(os.path.realpath(driver)) if driver.exists() else None  # noqa: PTH119
        rows.append(PciGpu(device.name, read_text(device / "device").strip(), name))
    return tuple(rows)


def cpu(root: Path = Path("/")) -> Cpu:
    """The processor, with lscpu's own lines where that program is there."""
    model = None
    for line in read_text(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    total = None
    for line in read_text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
    text = answer_of(["lscpu"], _LSCPU_LIMIT_S, {**os.environ, "LC_ALL": "C"}).text
    details = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and value.strip():
            details[name.strip()] = value.strip()
    return Cpu(
        model=model or details.get("Model name"),
        logical=os.cpu_count(),
        usable=len(os.sched_getaffinity(0)),
        memory_total_bytes=total,
        details=details,
    )

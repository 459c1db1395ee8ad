"""What the kernel and the file system say of the machine, below a root folder that tests replace."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NVIDIA_VENDOR = "0x10de"
# No kernel counts further than 8192.
_CPUS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_DISPLAY_CLASSES = ("0x0300", "0x0302")
_MODULES = ("nvidia", "nvidia_uvm", "nouveau", "vfio_pci")


@dataclass(frozen=True, slots=True)
class PciFunction:
    """An NVIDIA display function on the PCI bus; `driver` is the kernel driver that holds it."""

    address: str
    driver: str | None
    numa_node: int | None = None
    local_cpus: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """A /dev/nvidia* file. `problem` is the errno's name if it cannot be opened for read and write."""

    path: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The kernel and the NVIDIA module. None: not told here (no such file, no right to read it)."""

    release: str | None = None
    command_line: str | None = None
    modules: frozenset[str] = frozenset()
    module_built: bool | None = None
    module_version: str | None = None
    module_banner: str | None = None
    secure_boot: bool | None = None
    firmware_present: bool | None = None
    iommu_groups: int | None = None
    nvswitches: int = 0
    jetson_model: str | None = None

    @property
    def wsl(self) -> bool:
        """True in the Windows Subsystem for Linux."""
        return self.release is not None and "microsoft" in self.release.lower()


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What sysfs and /dev say; `cpus` are those on which our own process may run."""

    kernel: KernelFacts
    pci_gpus: tuple[PciFunction, ...] = ()
    device_nodes: tuple[DeviceFile, ...] = ()
    cpus: frozenset[int] | None = None
    network_interfaces: frozenset[str] | None = None
    infiniband: tuple[str, ...] = ()
    preloaded: tuple[str, ...] = ()

    def node(self, path: str) -> DeviceFile | None:
        """The device file of this path, or None."""
        return next((node for node in self.device_nodes if node.path == path), None)


def open_problem(path: Path) -> str | None:
    """The name of the error with which opening `path` for reading and writing fails, or None."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return None


def read_machine(
    root: Path = Path("/"), opens: Callable[[Path], str | None] = open_problem
) -> MachineFacts:
    """The facts below `root`. What cannot be read is None or empty; never raises for that."""
    return MachineFacts(
        kernel=_kernel(root),
        pci_gpus=_pci_gpus(root),
        device_nodes=_device_nodes(root, opens),
        cpus=frozenset(os.sched_getaffinity(0)),
        network_interfaces=_names(root / "sys/class/net"),
        infiniband=tuple(sorted(_names(root / "sys/class/infiniband") or ())),
        preloaded=tuple((text(root / "etc/ld.so.preload") or "").split()),
    )


def text(path: Path) -> str | None:
    """The file's text without the white space and NULs around it; None where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\x00 \t\r\n")
    except OSError:
        return None


def _names(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(entry.name for entry in folder.iterdir())
    except OSError:
        return None


def _kernel(root: Path) -> KernelFacts:
    release = text(root / "proc/sys/kernel/osrelease")
    version = text(root / "sys/module/nvidia/version")
    groups = _names(root / "sys/kernel/iommu_groups")
    return KernelFacts(
        release=release,
        command_line=text(root / "proc/cmdline"),
        modules=frozenset(name for name in _MODULES if (root / "sys/module" / name).is_dir()),
        module_built=_module_built(root, release),
        module_version=version,
        module_banner=text(root / "proc/driver/nvidia/version"),
        secure_boot=_secure_boot(root),
        firmware_present=_firmware(root, version),
        iommu_groups=None if groups is None else len(groups),
        nvswitches=len(_names(root / "proc/driver/nvidia-nvswitch/devices") or ()),
        jetson_model=_jetson(root),
    )


def _module_built(root: Path, release: str | None) -> bool | None:
    # modules.dep names every module; walking the tree would take a second on a cold cache.
    listing = text(root / "lib/modules" / release / "modules.dep") if release else None
    return None if listing is None else "/nvidia.ko" in listing


def _secure_boot(root: Path) -> bool | None:
    variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    try:
        content = (root / "sys/firmware/efi/efivars" / variable).read_bytes()
    except OSError:
        return None
    return bool(content) and content[-1] == 1


def _firmware(root: Path, version: str | None) -> bool | None:
    folder = root / "lib/firmware/nvidia"
    return None if version is None or not folder.is_dir() else (folder / version).is_dir()


def _jetson(root: Path) -> str | None:
    if not (root / "etc/nv_tegra_release").exists():
        return None
    return text(root / "proc/device-tree/model") or "Jetson"


def _pci_gpus(root: Path) -> tuple[PciFunction, ...]:
    folder = root / "sys/bus/pci/devices"
    found = []
    for name in sorted(_names(folder) or ()):
        entry = folder / name
        if text(entry / "vendor") != NVIDIA_VENDOR:
            continue
        if (text(entry / "class") or "").startswith(_DISPLAY_CLASSES):
            found.append(_pci_gpu(name, entry))
    return tuple(found)


def _pci_gpu(name: str, entry: Path) -> PciFunction:
    driver = entry / "driver"
    node = text(entry / "numa_node")
    return PciFunction(
        address=name,
        driver=driver.readlink().name if driver.is_symlink() else None,
        # The kernel writes -1 where the firmware tells no node.
        numa_node=int(node) if node and node.isdigit() else None,
        local_cpus=cpu_list(text(entry / "local_cpulist")),
    )


def cpu_list(written: str | None) -> frozenset[int] | None:
    """The CPUs of the kernel's notation, `0-3,8`; None where nothing or something else is written."""
    if not written:
        return None
    cpus: set[int] = set()
    for part in written.split(","):
        found = _CPUS.fullmatch(part)
        if found is None:
            return None
        cpus.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return frozenset(cpus)


def _device_nodes(root: Path, opens: Callable[[Path], str | None]) -> tuple[DeviceFile, ...]:
    names = sorted(
        name
        for name in _names(root / "dev") or ()
        if name in ("nvidiactl", "nvidia-uvm", "dxg")
        or (name.startswith("nvidia") and name[6:].isdigit())
    )
    return tuple(DeviceFile(f"/dev/{name}", opens(root / "dev" / name)) for name in names)

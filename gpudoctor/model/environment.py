"""The environment: the machine, the driver, and what the interpreter under test sees of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gpudoctor.model.probe import Probe
from gpudoctor.model.readings import DeviceFacts, MigReading


@dataclass(frozen=True, slots=True)
class Tool:
    """A program on PATH: `version` as it names itself, `error` where it did not answer in time."""

    name: str
    path: str | None = None
    version: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Toolkit:
    """The CUDA toolkit that a build would use; torch wheels do not need one.

    `nvcc.version` is nvcc's own release, such as "13.0.88"; `cuda_home` is CUDA_HOME or CUDA_PATH.
    """

    nvcc: Tool
    cuda_home: str | None = None
    cuda_home_version: str | None = None
    cuda_home_exists: bool | None = None


@dataclass(frozen=True, slots=True)
class InstalledTorch:
    """The torch that lies in an interpreter's folders: what it was built with, not what it does.

    `torch` is None where there is none; `cudnn` is that of NVIDIA's wheel, None where there is none.
    """

    python: str
    torch: str | None = None
    cuda: str | None = None
    hip: str | None = None
    cudnn: str | None = None


class DriverKind(StrEnum):
    """Which kernel module is loaded."""

    OPEN = "open"
    PROPRIETARY = "proprietary"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class GpuRow:
    """A GPU as NVML describes it, with its MIG instances."""

    facts: DeviceFacts
    mig: MigReading = field(default_factory=MigReading)


@dataclass(frozen=True, slots=True)
class DriverReport:
    """The driver by NVML and by the kernel module: two versions that should be one.

    `nvml_error` and `nvml_code` say why NVML could not be asked; then the NVML values are None.
    """

    nvml_driver_version: str | None = None
    nvml_version: str | None = None
    cuda_version: tuple[int, int] | None = None
    nvml_error: str | None = None
    nvml_cause: str | None = None
    nvml_hint: str | None = None
    nvml_code: int | None = None
    module_version: str | None = None
    module_kind: DriverKind = DriverKind.NONE
    modules_loaded: tuple[str, ...] = ()
    nouveau_loaded: bool = False
    source: str = "nvml"  # "nvml", "replay" or "demo"
    gpus: tuple[GpuRow, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device file. `openable` is by its mode and our ids (access(2)): nothing is opened."""

    path: str
    openable: bool
    mode: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class PciGpu:
    """An NVIDIA display or 3D controller on the PCI bus, whether or not a driver holds it."""

    bus_id: str
    device_id: str
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """The container around us: `kind` such as "docker", with what shows it. None: none was found."""

    kind: str | None = None
    evidence: tuple[str, ...] = ()
    nvidia_toolkit: bool | None = None


@dataclass(frozen=True, slots=True)
class Scheduler:
    """The batch system that started us, if any. `variables` are those that concern GPUs."""

    name: str | None = None
    job_id: str | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine allows this process. Sizes in bytes; None: no limit or not known."""

    shm_total_bytes: int | None = None
    shm_free_bytes: int | None = None
    locked_memory_bytes: int | None = None
    open_files: int | None = None
    processes: int | None = None
    cgroup_memory_bytes: int | None = None
    cgroup_cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor; `details` are lscpu's lines, in its order and words."""

    model: str | None = None
    logical: int | None = None
    usable: int | None = None
    memory_total_bytes: int | None = None
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystemReport:
    """The operating system and what it lays before a GPU program."""

    os: str | None = None
    kernel: str | None = None
    machine: str | None = None
    libc: str | None = None
    wsl: bool = False
    cpu: Cpu = field(default_factory=Cpu)
    limits: Limits = field(default_factory=Limits)
    container: Container = field(default_factory=Container)
    scheduler: Scheduler = field(default_factory=Scheduler)
    device_nodes: tuple[DeviceNode, ...] = ()
    pci_gpus: tuple[PciGpu, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibraryPathEntry:
    """A folder of LD_LIBRARY_PATH, and the CUDA-related libraries in it that can shadow torch's own."""

    directory: str
    exists: bool
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentReport:
    """Everything that `gpudoctor env` reports.

    `variables` are those of the process under test that concern CUDA, torch and their libraries.
    """

    probe: Probe
    driver: DriverReport
    system: SystemReport
    toolkit: Toolkit
    nvidia_smi: Tool
    tools: tuple[Tool, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    library_path: tuple[LibraryPathEntry, ...] = ()
    conda_packages: tuple[str, ...] | None = None

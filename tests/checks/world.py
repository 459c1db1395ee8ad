"""A healthy machine as the checks see it, and the changes that make it sick."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import replace
from typing import Any

from gpudoctor.checks.context import CheckContext, NvmlFailure
from gpudoctor.checks.facts.distributions import Distributions, Installed
from gpudoctor.checks.facts.kernel_log import KernelLog
from gpudoctor.checks.facts.machine import (
    DeviceFile,
    KernelFacts,
    MachineFacts,
    PciFunction,
)
from gpudoctor.checks.script.source import Script
from gpudoctor.model.environment import (
    Container,
    Cpu,
    LibraryPathEntry,
    Limits,
    SystemReport,
    Tool,
    Toolkit,
)
from gpudoctor.model.probe import (
    CudaDevice,
    CudaDriver,
    LoadedLibrary,
    Pin,
    Probe,
    ProbeOutcome,
    PythonFacts,
    TorchBuild,
    TorchCuda,
)
from gpudoctor.model.readings import (
    ClockReading,
    DeviceFacts,
    HealthReading,
    MemoryReading,
    MigReading,
    NvLinkReading,
    PcieReading,
    PowerReading,
    ThermalReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import Device
from tests.builders import GIB, snapshot, uuid_of

SITE = "/venv/lib/python3.11/site-packages"


def facts(index: int = 0, **changes: Any) -> DeviceFacts:
    made = DeviceFacts(
        uuid=uuid_of(index),
        index=index,
        name="NVIDIA H100 80GB HBM3",
        pci_bus_id=f"00000000:{index + 1:02X}:00.0",
        compute_capability=(9, 0),
        memory_total_bytes=80 * GIB,
        minor_number=index,
        power_limit_default_watts=700.0,
        temperature_slowdown_celsius=89,
        temperature_shutdown_celsius=92,
        sm_clock_max_hertz=1.98e9,
        pcie_generation_max=5,
        pcie_width_max=16,
        nvlink_count=18,
    )
    return replace(made, **changes)


def gpu(index: int = 0, **changes: Any) -> Device:
    made = Device(
        facts=facts(index),
        memory=MemoryReading(80 * GIB, 10 * 1024**2, 79 * GIB),
        utilization=UtilizationReading(0.9, 0.5),
        power=PowerReading(350.0, 700.0, 1e6),
        thermal=ThermalReading(55, 60),
        clocks=ClockReading(1.9e9, 2.6e9, reasons=("sw_power_cap",)),
        pcie=PcieReading(5, 16, 1e9, 1e9, 3),
        nvlink=NvLinkReading(18, 18, 0, 0, 0, 0, 0),
        health=HealthReading(
            ecc_enabled=True,
            ecc_corrected_volatile=0,
            ecc_uncorrected_volatile=0,
            ecc_corrected_aggregate=2,
            ecc_uncorrected_aggregate=0,
            remapped_corrected_rows=0,
            remapped_uncorrected_rows=0,
            remap_pending=False,
            remap_failed=False,
            retired_pages=0,
            retired_pages_pending=False,
            recovery_action="none",
            persistence_mode=True,
            compute_mode="default",
            fabric_state="completed",
        ),
        mig=MigReading(enabled=False, enabled_after_reset=False),
    )
    return replace(made, **changes)


def machine(**changes: Any) -> MachineFacts:
    kernel = changes.pop("kernel", {})
    banner = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build"
    made = MachineFacts(
        kernel=replace(
            KernelFacts(
                release="6.8.0-45-generic",
                command_line="BOOT_IMAGE=/vmlinuz root=/dev/sda1 iommu=pt",
                modules=frozenset({"nvidia", "nvidia_uvm"}),
                module_built=True,
                module_version="580.95.05",
                module_banner=banner,
                secure_boot=False,
                firmware_present=True,
                iommu_groups=40,
            ),
            **kernel,
        ),
        pci_gpus=tuple(
            PciFunction(f"0000:{i + 1:02x}:00.0", "nvidia", 0, frozenset(range(64)))
            for i in range(2)
        ),
        device_nodes=tuple(
            DeviceFile(f"/dev/{name}") for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm")
        ),
        network_interfaces=frozenset({"lo", "eth0", "eth1"}),
        infiniband=("mlx5_0",),
        cpus=frozenset(range(64)),
    )
    return replace(made, **changes)


def system(**changes: Any) -> SystemReport:
    limits = Limits(
        shm_total_bytes=256 * GIB,
        shm_free_bytes=250 * GIB,
        locked_memory_bytes=None,
        open_files=65536,
        cgroup_memory_bytes=500 * GIB,
        cgroup_cpus=64.0,
    )
    made = SystemReport(
        os="Ubuntu 24.04",
        kernel="6.8.0",
        cpu=Cpu(logical=128, usable=64),
        limits=replace(limits, **changes.pop("limits", {})),
    )
    return replace(made, **changes)


def in_docker() -> SystemReport:
    return system(container=Container("docker", ("/.dockerenv",)))


def torch(**changes: Any) -> TorchBuild:
    made = TorchBuild(
        version="2.13.0",
        kind="cuda",
        path=f"{SITE}/torch/__init__.py",
        debug=False,
        git_revision="abc",
        cxx11_abi=True,
        cuda_version="13.0",
        cudnn_version=92000,
        nccl_version="2.29.7",
        arch_list=("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
    )
    return replace(made, **changes)


def library(name: str, folder: str, package: str | None, version: str | None) -> LoadedLibrary:
    return LoadedLibrary(name, f"{folder}/{name}", version, package)


LIBRARIES = (
    library("libcudnn.so.9", f"{SITE}/nvidia/cudnn/lib", "nvidia-cudnn-cu13", "9.20.0"),
    library("libnccl.so.2", f"{SITE}/nvidia/nccl/lib", "nvidia-nccl-cu13", "2.29.7"),
    library("libnvJitLink.so.13", f"{SITE}/nvidia/cu13/lib", "nvidia-nvjitlink", "13.0.88"),
)
PINS = (
    Pin("nvidia-cudnn-cu13", "==9.20.0.48", "torch", "9.20.0.48", True),
    Pin("nvidia-nccl-cu13", "==2.29.7", "torch", "2.29.7", True),
    Pin("triton", "==3.7.1", "torch", "3.7.1", True),
)


def probe(**changes: Any) -> Probe:
    devices = tuple(
        CudaDevice(i, "NVIDIA H100 80GB HBM3", uuid_of(i), compute_capability=(9, 0))
        for i in range(2)
    )
    made = Probe(
        outcome=ProbeOutcome.OK,
        executable="/venv/bin/python",
        chosen="VIRTUAL_ENV=/venv",
        duration_seconds=2.0,
        python=PythonFacts("/venv/bin/python", "3.11.9", prefix="/venv", virtual_env="/venv"),
        torch=torch(),
        cuda=TorchCuda(available=True, device_count=2, devices=devices),
        driver=CudaDriver("/usr/lib/x86_64-linux-gnu/libcuda.so.1", 0, devices=devices),
        libraries=LIBRARIES,
        pins=PINS,
    )
    return replace(made, **changes)


def installed(*entries: tuple[str, str] | Installed) -> Distributions:
    rows = [e if isinstance(e, Installed) else Installed(*e, SITE) for e in entries]
    return Distributions(tuple(rows))


def packages(**versions: str) -> Distributions:
    made = {
        "torch": "2.13.0",
        "triton": "3.7.1",
        "nvidia-cublas": "13.1.0.3",
        "nvidia-cudnn-cu13": "9.20.0.48",
        "nvidia-ml-py": "13.580.82",
    } | {name.replace("_", "-"): version for name, version in versions.items()}
    vision = Installed("torchvision", "0.28.0", SITE, ("numpy", "torch==2.13.0"))
    audio = Installed("torchaudio", "2.11.0", SITE, ())
    return installed(*made.items(), vision, audio)


def healthy(**changes: Any) -> CheckContext:
    """Two H100 with a fitting driver, torch and settings. All facts are told."""
    made = CheckContext(
        snapshot=snapshot(gpu(0), gpu(1)),
        probe=probe(),
        system=system(),
        machine=machine(),
        toolkit=Toolkit(Tool("nvcc")),
        nvidia_smi=Tool("nvidia-smi", "/usr/bin/nvidia-smi"),
        library_path=(),
        distributions=packages(),
        orphans=(),
        kernel_log=KernelLog("/dev/kmsg", ("NVRM: loading NVIDIA UNIX Open Kernel Module",)),
        environ={"HOME": "/", "PATH": "/nowhere"},
    )
    return replace(made, **changes)


def gpus(*devices: Device, **changes: Any) -> CheckContext:
    """The healthy machine with these GPUs, and processes if they are given."""
    processes = changes.pop("processes", ())
    return healthy(snapshot=snapshot(*devices, processes=processes), **changes)


def no_driver(code: int | None, message: str = "it fails", **changes: Any) -> CheckContext:
    return healthy(
        snapshot=None, nvml_failure=NvmlFailure(message, "a cause", code=code), **changes
    )


def env(**variables: str) -> CheckContext:
    return healthy(environ={"HOME": "/", "PATH": "/nowhere"} | variables)


def folder_on_path(folder: str, *libraries: str, exists: bool = True) -> CheckContext:
    return healthy(library_path=(LibraryPathEntry(folder, exists, libraries),))


def log(*lines: str) -> CheckContext:
    return healthy(kernel_log=KernelLog("/dev/kmsg", lines))


def script(source: str, **changes: Any) -> CheckContext:
    tree = ast.parse(textwrap.dedent(source))
    return CheckContext(script=Script("train.py", tree), environ={"HOME": "/"}, **changes)

"""Sick and nearly sick machines: driver, kernel, CUDA's start, containers, limits."""

from __future__ import annotations

from dataclasses import replace

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.facts.kernel_log import KernelLog
from gpudoctor.checks.facts.machine import DeviceFile, PciFunction
from gpudoctor.model.environment import Cpu, Scheduler, Tool
from gpudoctor.model.probe import CudaDriver
from tests.builders import GIB
from tests.checks.cases_gpu import Case
from tests.checks.world import (
    env,
    facts,
    gpu,
    gpus,
    healthy,
    in_docker,
    log,
    machine,
    no_driver,
    probe,
    system,
)

MIB = 1024**2
NOT_LOADED = {"modules": frozenset(), "module_version": None, "module_banner": None}
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05"
WSL = {"release": "5.15.153.1-microsoft-standard-WSL2"}


def held_by(driver: str) -> tuple[PciFunction, ...]:
    return (PciFunction("0000:01:00.0", driver),)


def files(**problems: str | None) -> tuple[DeviceFile, ...]:
    return tuple(DeviceFile(f"/dev/{n.replace('_', '-')}", p) for n, p in problems.items())


def cuda(code: int | None, library: str | None = "/usr/lib/libcuda.so.1", **more: object) -> object:
    return probe(driver=CudaDriver(library, code, **more))


def limits(**changes: object) -> CheckContext:
    return healthy(system=system(limits=changes))


def bare(**changes: object) -> CheckContext:
    """No driver, and no GPU on the bus."""
    return no_driver(
        12, machine=machine(pci_gpus=(), device_nodes=(), kernel=NOT_LOADED), **changes
    )


def unloaded(**kernel: object) -> CheckContext:
    return no_driver(9, machine=machine(kernel=NOT_LOADED | kernel))


def pascal(banner: str) -> CheckContext:
    old = gpu(facts=facts(name="NVIDIA GTX 1080", compute_capability=(6, 1)))
    return gpus(old, machine=machine(kernel={"module_banner": banner}))


def blackwell(banner: str) -> CheckContext:
    new = gpu(facts=facts(name="NVIDIA B200", compute_capability=(10, 0)))
    return gpus(new, machine=machine(kernel={"module_banner": banner}))


def no_uvm(code: int = 999) -> CheckContext:
    return healthy(machine=machine(device_nodes=files(nvidiactl=None)), probe=cuda(code))


def fabric(state: str) -> CheckContext:
    return gpus(gpu(health=replace(gpu().health, fabric_state=state)))


def wsl(library: str) -> CheckContext:
    nodes = files(dxg=None)
    return healthy(machine=machine(kernel=WSL, device_nodes=nodes), probe=cuda(0, library))


def docker(**changes: object) -> CheckContext:
    return healthy(system=in_docker(), **changes)


REJECTED = KernelLog("/dev/kmsg", ("Loading of module: Key was rejected by service",))
CASES: list[Case] = [
    ("driver.no-gpu", bare(), "no NVIDIA GPU"),
    ("driver.no-gpu", unloaded(), None),
    ("driver.not-loaded", unloaded(module_built=False), "none for this kernel"),
    ("driver.not-loaded", unloaded(module_built=True), "not loaded"),
    ("driver.not-loaded", no_driver(999), None),
    ("driver.library-missing", no_driver(12), "libnvidia-ml.so.1"),
    ("driver.library-missing", bare(), None),
    ("driver.version-mismatch", no_driver(18), "updated, not reloaded"),
    ("driver.version-mismatch", no_driver(9), None),
    ("driver.no-permission", no_driver(4), "refuses this user"),
    ("driver.no-permission", no_driver(18), None),
    ("driver.unusable", no_driver(999, "the NVIDIA driver cannot be asked"), "cannot be asked"),
    ("driver.unusable", no_driver(9, "the NVIDIA driver is not loaded"), "is not loaded"),
    ("driver.unusable", unloaded(), None),
    ("driver.unusable", no_driver(18), None),
    ("driver.unusable", no_driver(None, "the NVIDIA driver does not answer"), None),
    ("driver.hangs", no_driver(None, "the NVIDIA driver does not answer"), "does not answer"),
    ("driver.hangs", no_driver(9, "the NVIDIA driver does not answer"), None),
    ("driver.gpu-missing", gpus(gpu(0), system=in_docker()), None),
    ("driver.gpu-missing", gpus(gpu(0), system=system(scheduler=Scheduler("slurm", "7"))), None),
    (
        "driver.nvidia-smi",
        healthy(nvidia_smi=Tool("nvidia-smi", "/x", None, "no answer")),
        "no answer",
    ),
    ("driver.nvidia-smi", healthy(), None),
    ("driver.nvidia-smi", healthy(nvidia_smi=Tool("nvidia-smi")), None),
    ("driver.nouveau", healthy(machine=machine(pci_gpus=held_by("nouveau"))), "nouveau"),
    ("driver.nouveau", healthy(machine=machine(pci_gpus=held_by("vfio-pci"))), None),
    ("driver.secure-boot", unloaded(secure_boot=True), "Secure Boot"),
    (
        "driver.secure-boot",
        replace(unloaded(secure_boot=True, module_built=False), kernel_log=REJECTED),
        "refused",
    ),
    ("driver.secure-boot", healthy(machine=machine(kernel={"secure_boot": True})), None),
    ("driver.module-flavour", blackwell(CLOSED), "needs the open"),
    ("driver.module-flavour", pascal("NVIDIA UNIX Open Kernel Module"), "needs the proprietary"),
    ("driver.module-flavour", pascal(CLOSED), None),
    ("driver.module-flavour", healthy(), None),
    (
        "driver.firmware",
        log("nvidia: firmware gsp_ga10x.bin failed to load"),
        "could not be loaded",
    ),
    (
        "driver.firmware",
        no_driver(999, machine=machine(kernel={"firmware_present": False})),
        "no firmware",
    ),
    ("driver.firmware", healthy(machine=machine(kernel={"firmware_present": False})), None),
    ("driver.uvm-hmm", log("nvidia-uvm: request_free_mem_region() err -34"), "-34"),
    ("driver.uvm-hmm", log("nvidia-uvm: Loaded the UVM driver"), None),
    (
        "driver.device-permission",
        healthy(machine=machine(device_nodes=files(nvidiactl="EACCES"))),
        "mode or group",
    ),
    (
        "driver.device-permission",
        healthy(machine=machine(device_nodes=files(nvidia0="EPERM", nvidiactl=None))),
        "device cgroup",
    ),
    (
        "driver.device-permission",
        healthy(machine=machine(device_nodes=files(nvidia0=None, nvidia1="EPERM", nvidiactl=None))),
        None,
    ),
    ("driver.device-permission", healthy(), None),
    ("driver.uvm", no_uvm(), "does not exist"),
    ("driver.uvm", healthy(probe=cuda(999)), "bad state"),
    ("driver.uvm", healthy(probe=cuda(100)), None),
    ("driver.fabric-manager", healthy(probe=cuda(802)), "fabric is not ready"),
    ("driver.fabric-manager", fabric("in progress"), "fabric is not ready"),
    ("driver.fabric-manager", fabric("completed"), None),
    ("cuda.init", healthy(probe=cuda(999, name="CUDA_ERROR_UNKNOWN")), "999"),
    ("cuda.init", healthy(probe=cuda(100)), "no CUDA device"),
    ("cuda.init", bare(probe=cuda(100)), None),
    ("cuda.init", healthy(), None),
    (
        "cuda.stub-library",
        healthy(probe=cuda(34, "/usr/local/cuda/lib64/stubs/libcuda.so")),
        "stub",
    ),
    ("cuda.stub-library", healthy(probe=cuda(803)), None),
    ("cuda.compat-library", healthy(probe=cuda(804, "/usr/local/cuda/compat/libcuda.so.1")), "804"),
    ("cuda.compat-library", healthy(probe=cuda(0, "/usr/local/cuda/compat/libcuda.so.1")), None),
    ("cuda.wsl-library", wsl("/usr/lib/x86_64-linux-gnu/libcuda.so.1"), "Windows"),
    ("cuda.wsl-library", wsl("/usr/lib/wsl/lib/libcuda.so.1"), None),
    ("cuda.library-missing", healthy(probe=cuda(None, None, error="cannot open")), "libcuda.so.1"),
    ("cuda.library-missing", healthy(), None),
    (
        "cuda.device-count",
        healthy(probe=cuda(0, devices=probe().driver.devices[:1])),
        "1 of 2 GPUs",
    ),
    ("cuda.device-count", healthy(), None),
    ("container.no-gpu", docker(machine=machine(device_nodes=())), "was given no GPU"),
    ("container.no-gpu", docker(), None),
    ("container.no-gpu", docker(machine=machine(device_nodes=(), pci_gpus=())), None),
    (
        "container.lost-gpu",
        docker(machine=machine(device_nodes=files(nvidiactl="EPERM", nvidia0="EPERM"))),
        "lost its right",
    ),
    ("container.lost-gpu", docker(), None),
    ("container.shared-memory", limits(shm_total_bytes=64 * MIB), "workers will die"),
    ("container.shared-memory", limits(shm_total_bytes=2 * GIB), "is little"),
    ("container.shared-memory", limits(shm_total_bytes=4 * GIB), None),
    ("container.visible-devices", env(NVIDIA_VISIBLE_DEVICES="1"), "no effect"),
    ("container.visible-devices", env(NVIDIA_VISIBLE_DEVICES="all"), None),
    ("limits.open-files", limits(open_files=1024), "1024 files"),
    ("limits.open-files", limits(open_files=4096), None),
    ("limits.locked-memory", limits(locked_memory_bytes=64 * 1024), "64.0 KiB"),
    (
        "limits.locked-memory",
        healthy(
            system=system(limits={"locked_memory_bytes": 65536}), machine=machine(infiniband=())
        ),
        None,
    ),
    ("limits.cpus", healthy(system=system(cpu=Cpu(logical=128, usable=4))), "4 CPUs for 2 GPUs"),
    ("limits.cpus", healthy(system=system(cpu=Cpu(logical=8, usable=8))), None),
    ("limits.memory", limits(cgroup_memory_bytes=16 * GIB), "16.0 GiB"),
    ("limits.memory", limits(cgroup_memory_bytes=80 * GIB), None),
]

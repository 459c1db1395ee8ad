"""An environment report as titled rows of text, the same for the terminal and for Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor import units
from gpudoctor.model.environment import DriverKind, EnvironmentReport, Tool
from gpudoctor.model.probe import CudaDevice, Probe, ProbeOutcome, TorchBuild

OUTCOMES = {
    ProbeOutcome.OK: "ok",
    ProbeOutcome.NO_TORCH: "torch is not installed",
    ProbeOutcome.IMPORT_FAILED: "import torch fails",
    ProbeOutcome.TIMED_OUT: "timed out",
    ProbeOutcome.CRASHED: "crashed",
    ProbeOutcome.NOT_STARTED: "could not be started",
}
RELEVANT = (
    *("torch", "numpy", "triton", "optree", "mypy", "flake8", "onnx", "nvidia", "cuda", "cudnn"),
    *("cublas", "nccl", "apex", "accelerate", "bitsandbytes", "deepspeed", "diffusers", "xformers"),
    *("flash-attn", "jax", "lightning", "mkl", "peft", "tensorflow", "transformer", "vllm", "tbb"),
    *("intel-", "dpcpp", "oneccl", "impi-", "umf", "tcmlib", "onemkl", "cupy", "numba", "ray"),
)
_BAD = ("DIFFERS", "MISSING", "may not be opened", "does not exist", "CPU only", "not installed")
_FAILURES = ("because", "warning", "Error", "Probe", "NVML", "nouveau", "Simulated")


@dataclass(frozen=True, slots=True)
class Section:
    """A title and its rows. `long` sections are shown where everything is asked for."""

    title: str
    rows: tuple[tuple[str, str], ...]
    long: bool = False


def sections(report: EnvironmentReport) -> list[Section]:
    """All sections that have something to say, most asked-for first."""
    made = [
        Section("PyTorch", _torch(report.probe)),
        Section("CUDA", _cuda(report)),
        Section("Devices as CUDA numbers them", _devices(report.probe)),
        Section("Driver", _driver(report)),
        Section("GPUs by NVML", _gpus(report)),
        Section("Libraries loaded by the probe", _libraries(report.probe)),
        Section("Wheels against torch's pins", _pins(report.probe)),
        Section("Switches right after import torch", tuple(report.probe.switches.items())),
        Section("Variables", tuple(report.variables.items())),
        Section("LD_LIBRARY_PATH", _library_path(report)),
        Section("Packages", _packages(report.probe)),
        Section("Conda packages", _conda(report), long=True),
        Section("Interpreter", _interpreter(report.probe)),
        Section("System", _system(report)),
        Section("CPU", tuple(report.system.cpu.details.items()), long=True),
        Section("torch.__config__.show()", _config(report.probe), long=True),
        Section("Questions that failed", tuple(report.probe.failures.items())),
    ]
    return [section for section in made if section.rows]


def yes_no(value: bool | None) -> str:
    """`yes`, `no`, or unknown."""
    return units.UNKNOWN if value is None else "yes" if value else "no"


def cudnn_text(version: int | None) -> str:
    """The number that torch reports, as people write it: 91002 is 9.10.2, 8902 is 8.9.2."""
    if version is None:
        return units.UNKNOWN
    size = 10_000 if version >= 90_000 else 1_000
    return f"{version // size}.{version % size // 100}.{version % 100} ({version})"


def _torch(probe: Probe) -> tuple[tuple[str, str], ...]:
    build = probe.torch
    if build is None:
        return (("Torch", OUTCOMES[probe.outcome]), ("Error", units.text(probe.error)))
    triton = {row.name: row.version for row in probe.packages}
    rows = [
        ("PyTorch version", build.version),
        ("Build", _build(build)),
        ("Debug build", yes_no(build.debug)),
        ("Git revision", units.text(build.git_revision)),
        ("C++11 ABI", yes_no(build.cxx11_abi)),
        ("Kernels for", " ".join(build.arch_list or ()) or units.UNKNOWN),
        ("cuDNN by torch", cudnn_text(build.cudnn_version)),
        ("NCCL by torch", units.text(build.nccl_version)),
        ("Triton", units.text(triton.get("triton") or triton.get("pytorch-triton"))),
        ("ROCm built with", units.text(build.hip_version)),
        ("HIP runtime", units.text(build.hip_runtime_version)),
        ("MIOpen", units.text(build.miopen_version)),
        ("Location", units.text(build.path)),
        ("Import took", units.duration(build.import_seconds)),
    ]
    if probe.outcome is not ProbeOutcome.OK:
        rows.insert(0, ("Probe", f"{OUTCOMES[probe.outcome]}: {probe.error}"))
    return tuple(rows)


def _build(build: TorchBuild) -> str:
    kinds = {
        "cpu": "CPU only: this torch cannot use a GPU",
        "cuda": f"CUDA {build.cuda_version}",
        "rocm": f"ROCm {build.hip_version}",
        "xpu": "XPU",
    }
    return kinds.get(build.kind, build.kind)


def _cuda(report: EnvironmentReport) -> tuple[tuple[str, str], ...]:
    probe, cuda, direct = report.probe, report.probe.cuda, report.probe.driver
    rows = [
        ("CUDA that torch was built with", units.text(probe.torch and probe.torch.cuda_version)),
        ("CUDA that the driver supports", _driver_cuda(report)),
        ("CUDA toolkit on PATH (nvcc)", tool_text(report.toolkit.nvcc)),
    ]
    if report.toolkit.cuda_home:
        there = "" if report.toolkit.cuda_home_exists else ", which does not exist"
        version = report.toolkit.cuda_home_version
        rows.append(("CUDA_HOME", f"{report.toolkit.cuda_home}{there}" + _in_brackets(version)))
    if cuda is not None:
        rows += [
            ("torch.cuda.is_available()", yes_no(cuda.available)),
            *((("because", cuda.error),) if cuda.error else ()),
            *(("warning", text) for text in cuda.warnings),
            ("torch.cuda.device_count()", units.count(cuda.device_count)),
            ("CUDA_MODULE_LOADING", units.text(cuda.module_loading)),
            ("Allocator settings", units.text(cuda.allocator_config)),
            ("Allocator back end", units.text(cuda.allocator_backend)),
            ("XPU available", yes_no(cuda.xpu_available)),
            ("XNNPACK available", yes_no(cuda.xnnpack_available)),
        ]
    if direct is not None:
        rows.append(("cuInit", _cu_init(direct.code, direct.name, direct.error)))
        rows.append(("libcuda", units.text(direct.library)))
    return tuple(rows)


def _driver_cuda(report: EnvironmentReport) -> str:
    direct = report.probe.driver
    version = report.driver.cuda_version or (direct and direct.driver_version)
    return units.version_pair(version or None)


def _cu_init(code: int | None, name: str | None, error: str | None) -> str:
    if code is None:
        return error or units.UNKNOWN
    return "ok" if code == 0 else f"error {code}{_in_brackets(name)}"


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""


def tool_text(tool: Tool) -> str:
    """A program with its version and place, or why there is none."""
    if tool.path is None:
        return "none"
    return f"{tool.version or tool.error or units.UNKNOWN} ({tool.path})"


def _devices(probe: Probe) -> tuple[tuple[str, str], ...]:
    by_torch = probe.cuda.devices if probe.cuda else ()
    direct = probe.driver.devices if probe.driver else ()
    return tuple((f"cuda:{row.ordinal}", _device(row)) for row in direct or by_torch)


def _device(row: CudaDevice) -> str:
    parts = (
        units.text(row.name),
        units.text(row.uuid),
        units.text(row.pci_bus_id),
        f"compute capability {units.version_pair(row.compute_capability)}",
        units.data_size(row.memory_total_bytes),
    )
    return ", ".join(parts)


def _driver(report: EnvironmentReport) -> tuple[tuple[str, str], ...]:
    driver = report.driver
    rows = [("Driver by NVML", units.text(driver.nvml_driver_version))]
    if driver.source != "nvml":
        rows.insert(
            0, ("Simulated", f"NVML's values are of a {driver.source}, not of this machine")
        )
    if driver.nvml_error:
        rows.append(("NVML", ": ".join(filter(None, (driver.nvml_error, driver.nvml_cause)))))
    kind = {
        DriverKind.OPEN: " (open kernel module)",
        DriverKind.PROPRIETARY: " (proprietary kernel module)",
        DriverKind.NONE: "",
    }[driver.module_kind]
    rows += [
        ("Driver by /proc/driver/nvidia/version", units.text(driver.module_version) + kind),
        ("Kernel modules", " ".join(driver.modules_loaded) or units.UNKNOWN),
        ("nvidia-smi", units.text(report.nvidia_smi.path)),
    ]
    if driver.nouveau_loaded:
        rows.append(("nouveau", "loaded"))
    for gpu in report.system.pci_gpus:
        rows.append((f"PCI {gpu.bus_id}", f"device {gpu.device_id}, driver {gpu.driver or 'none'}"))
    for node in report.system.device_nodes:
        access = "can be opened" if node.openable else "may not be opened by us"
        facts = " ".join(filter(None, (node.mode, node.owner)))
        rows.append((node.path, f"{access}{_in_brackets(facts)}"))
    return tuple(rows)


def _gpus(report: EnvironmentReport) -> tuple[tuple[str, str], ...]:
    rows = []
    for gpu in report.driver.gpus:
        facts = gpu.facts
        device = CudaDevice(
            facts.index,
            facts.name,
            facts.uuid,
            facts.pci_bus_id,
            facts.compute_capability,
            facts.memory_total_bytes,
        )
        mig = ", MIG on" if gpu.mig.enabled else ""
        rows.append((f"GPU {facts.index}", _device(device) + mig))
        for part in gpu.mig.instances:
            size = units.data_size(part.memory_total_bytes)
            place = f"GI {part.gpu_instance} CI {part.compute_instance}"
            rows.append(("  MIG", f"{units.text(part.name)}, {part.uuid}, {place}, {size}"))
    return tuple(rows)


def _libraries(probe: Probe) -> tuple[tuple[str, str], ...]:
    rows = []
    for row in probe.libraries:
        version = units.text(row.version)
        owner = f" from {row.package}" if row.package else ""
        rows.append((row.name, f"{version}{owner}: {row.path}"))
    return tuple(rows)


def _pins(probe: Probe) -> tuple[tuple[str, str], ...]:
    rows = []
    for pin in probe.pins:
        words = {True: "ok", False: "DIFFERS", None: "cannot be told"}
        verdict = words[pin.satisfied] if pin.installed else "MISSING"
        wanted = f"{pin.specifier or 'any'} (by {pin.required_by})"
        rows.append((pin.name, f"{units.text(pin.installed)}, wanted {wanted}: {verdict}"))
    return tuple(rows)


def _library_path(report: EnvironmentReport) -> tuple[tuple[str, str], ...]:
    rows = []
    for entry in report.library_path:
        state = "no CUDA libraries" if entry.exists else "does not exist"
        found = ", ".join(entry.libraries)
        shown = f"can shadow torch's own: {found}" if found else state
        rows.append((entry.directory or "(empty: the working directory)", shown))
    return tuple(rows)


def _packages(probe: Probe) -> tuple[tuple[str, str], ...]:
    return tuple(
        (row.name, row.version)
        for row in probe.packages
        if any(word in row.name for word in RELEVANT)
    )


def _conda(report: EnvironmentReport) -> tuple[tuple[str, str], ...]:
    rows = (line.split(" ", 1) for line in report.conda_packages or ())
    return tuple((row[0], row[-1]) for row in rows if any(word in row[0] for word in RELEVANT))


def _interpreter(probe: Probe) -> tuple[tuple[str, str], ...]:
    rows = [("Executable", probe.executable), ("Chosen by", probe.chosen)]
    if probe.python is not None:
        python = probe.python
        rows += [
            ("Python", f"{python.build or python.version} ({python.bits}-bit runtime)"),
            ("Platform", units.text(python.platform)),
            ("Virtual environment", python.virtual_env or "none"),
            ("Conda environment", python.conda_prefix or "none"),
        ]
    rows.append(("Probe took", units.duration(probe.duration_seconds)))
    return tuple(rows)


def _system(report: EnvironmentReport) -> tuple[tuple[str, str], ...]:
    system, limits = report.system, report.system.limits
    place = system.container
    rows = [
        ("OS", f"{units.text(system.os)} ({units.text(system.machine)})"),
        ("Kernel", units.text(system.kernel)),
        ("Libc", units.text(system.libc)),
        *((("WSL", "yes"),) if system.wsl else ()),
        (
            "Container",
            f"{place.kind} ({'; '.join(place.evidence)})" if place.kind else "none found",
        ),
        ("Scheduler", _scheduler(report)),
        *((name, value) for name, value in system.scheduler.variables.items()),
        *((tool.name, tool_text(tool)) for tool in report.tools),
        ("CPU", f"{units.text(system.cpu.model)}, {units.count(system.cpu.usable)} usable"),
        ("Memory", units.data_size(system.cpu.memory_total_bytes)),
        (
            "Shared memory (/dev/shm)",
            f"{units.data_size(limits.shm_total_bytes)}, {_free(limits.shm_free_bytes)}",
        ),
        ("Locked memory", _limit(limits.locked_memory_bytes)),
        ("Open files", units.count(limits.open_files)),
        ("Control group", _control_group(limits.cgroup_memory_bytes, limits.cgroup_cpus)),
    ]
    return tuple(rows)


def _scheduler(report: EnvironmentReport) -> str:
    scheduler = report.system.scheduler
    return f"{scheduler.name}, job {scheduler.job_id}" if scheduler.name else "none found"


def _free(size: int | None) -> str:
    return f"{units.data_size(size)} free"


def _limit(size: int | None) -> str:
    return "unlimited" if size is None else units.data_size(size)


def _control_group(memory: int | None, cpus: float | None) -> str:
    cores = "no CPU limit" if cpus is None else f"{cpus:g} CPUs"
    return f"{cores}, {'no memory limit' if memory is None else units.data_size(memory)}"


def _config(probe: Probe) -> tuple[tuple[str, str], ...]:
    text = (probe.torch.config if probe.torch else None) or ""
    lines = (line.strip().removeprefix("- ") for line in text.splitlines()[1:])
    return tuple(("", line) for line in lines if line)


def suspicious(label: str, value: str) -> bool:
    """Whether a row tells of something that may be wrong."""
    return label in _FAILURES or any(word in value for word in _BAD)

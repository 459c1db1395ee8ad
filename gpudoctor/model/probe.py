"""What an interpreter under test said of itself: its torch, its libraries, the GPUs it sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ProbeOutcome(StrEnum):
    """How the probe ended. CRASHED: it died by a signal or without an answer."""

    OK = "ok"
    NO_TORCH = "no_torch"
    IMPORT_FAILED = "import_failed"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """The interpreter. `virtual_env` is the folder of its venv, None outside of one.

    `search_path` is sys.path: of two packages of one name the one in the earlier folder is imported.
    """

    executable: str
    version: str
    build: str | None = None
    implementation: str | None = None
    bits: int | None = None
    prefix: str | None = None
    virtual_env: str | None = None
    conda_prefix: str | None = None
    platform: str | None = None
    libc: str | None = None
    search_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """The torch that was imported. `kind` is "cpu", "cuda", "rocm" or "xpu".

    `cuda_version` is what torch was built with, not what the driver offers; `cudnn_version` is
    what torch.backends.cudnn.version() returns, such as 91002; `config` is torch.__config__.show().
    """

    version: str
    kind: str
    path: str | None = None
    debug: bool | None = None
    git_revision: str | None = None
    cxx11_abi: bool | None = None
    cuda_version: str | None = None
    hip_version: str | None = None
    hip_runtime_version: str | None = None
    miopen_version: str | None = None
    cudnn_version: int | None = None
    nccl_version: str | None = None
    arch_list: tuple[str, ...] | None = None
    config: str | None = None
    import_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """A device at a CUDA ordinal. `uuid` as nvidia-smi -L prints it, `GPU-…` or `MIG-…`."""

    ordinal: int
    name: str | None = None
    uuid: str | None = None
    pci_bus_id: str | None = None
    compute_capability: tuple[int, int] | None = None
    memory_total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TorchCuda:
    """`torch.cuda.is_available()` and, where it is not, the text of the error that torch.cuda.init gives.

    `arch_list` of the build says for which GPUs it has kernels; `devices` are as torch sees them.
    """

    available: bool | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    device_count: int | None = None
    devices: tuple[CudaDevice, ...] = ()
    allocator_config: str | None = None
    allocator_backend: str | None = None
    module_loading: str | None = None
    xpu_available: bool | None = None
    xnnpack_available: bool | None = None


@dataclass(frozen=True, slots=True)
class CudaDriver:
    """libcuda.so.1 asked directly, in the probe: the code of cuInit and the devices in CUDA's order.

    `code` is CUresult (0 is success); None means that the library could not be loaded (`error`).
    """

    library: str | None = None
    code: int | None = None
    name: str | None = None
    error: str | None = None
    driver_version: tuple[int, int] | None = None
    devices: tuple[CudaDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedLibrary:
    """A library really mapped into the probe after torch was imported (/proc/self/maps).

    `version` is read from the name of the real file, `package` from the wheel that owns it.
    """

    name: str
    path: str
    version: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution, `name` normalised (lower case, dashes)."""

    name: str
    version: str
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """A requirement on an NVIDIA or Triton distribution, with what is installed.

    `required_by` is torch or the meta package that torch requires; `satisfied` is None where the
    specifier is not one of ==, >=, <=, <, >, !=, ~= lists.
    """

    name: str
    specifier: str
    required_by: str
    installed: str | None = None
    satisfied: bool | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One run of the probe. `chosen` says why this interpreter; `failures` are questions that failed.

    `error` is the text of a failed import, of a crash (with the tail of stderr) or of the time limit.
    """

    outcome: ProbeOutcome
    executable: str
    chosen: str
    duration_seconds: float
    error: str | None = None
    signal: str | None = None
    python: PythonFacts | None = None
    torch: TorchBuild | None = None
    cuda: TorchCuda | None = None
    driver: CudaDriver | None = None
    switches: dict[str, str] = field(default_factory=dict)
    libraries: tuple[LoadedLibrary, ...] = ()
    packages: tuple[Package, ...] = ()
    pins: tuple[Pin, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)

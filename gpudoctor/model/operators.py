"""What torch's profiler saw of operators and of the GPU in the profiled window. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator of the autograd profiler over the profiled window. Times in seconds, without children."""

    name: str
    calls: int
    self_cpu_seconds: float
    self_device_seconds: float | None


@dataclass(frozen=True, slots=True)
class OperatorShape:
    """An operator by the tensors it was given: their types, in torch's words, and their shapes (of a
    TensorList, how many tensors). Times in seconds, without children."""

    name: str
    types: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    calls: int
    self_cpu_seconds: float
    self_device_seconds: float | None


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A kernel on the GPU over the profiled window, and the operator that launched it (None: not seen)."""

    name: str
    operator: str | None
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RepeatedCopy:
    """A line that copied `tensors` pieces of memory, unchanged as far as torch counts changes, from one
    device to another in `steps` steps of the profiled window. Bytes and seconds (on the CPU, in the call)
    are those of all of these steps."""

    source_line: str
    text: str
    source: str
    target: str
    steps: int
    tensors: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """The GPU inside the profiled window. `busy_seconds` is the union over streams and devices;
    exposed copies are those beside which nothing is computed; allocations are the driver's own (cudaMalloc,
    cudaFree), which torch's allocator should not need."""

    busy_seconds: float
    kernels: int
    kernel_seconds: float
    copies: int
    copy_seconds: float
    pageable_copy_seconds: float
    sync_seconds: float
    exposed_copy_seconds: float = 0.0
    allocation_calls: int = 0
    allocation_seconds: float = 0.0

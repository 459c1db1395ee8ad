"""What one profiled run was made of. Times in seconds; None is what the run did not give."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import (
    DeviceTime,
    KernelTime,
    OperatorShape,
    OperatorTime,
    RepeatedCopy,
)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The program and how it ended. `how` is finished, exit, exception, interrupted, terminated,
    not started, watched (it ran on), or running (the process was gone before it could say how it
    ended). `held_up_seconds` is what the profiler took, `cpu_wait_seconds` how long the main thread was
    ready to run but had no CPU, `cpu_seconds` what all threads of its process used, on `cpus` CPUs that
    it may run on: `cpu_cores` cores, `cpu_quota` CPUs' time by its control group (None: no limit), which
    `local_ranks` processes of one job share."""

    program: tuple[str, ...]
    cwd: str
    started_at: float
    wall_seconds: float
    main_cpu_seconds: float | None
    how: str
    exit_code: int | None
    exception: str | None
    exception_line: str | None
    python_version: str
    python_executable: str
    held_up_seconds: float
    cpu_wait_seconds: float | None = None
    cpu_seconds: float | None = None
    cpus: int | None = None
    cpu_cores: int | None = None
    cpu_quota: float | None = None
    local_ranks: int | None = None
    omp_num_threads: str | None = None


@dataclass(frozen=True, slots=True)
class TorchDevice:
    """One GPU that the script allocated memory on, in its own CUDA order. `capability` is the compute
    capability, (9, 0) for 9.0."""

    index: int
    name: str
    memory_total_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_reserved_peak_bytes: int | None = None
    allocator_retries: int | None = None
    out_of_memory: int | None = None
    capability: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """The torch that the script imported. `version` is None where its import failed. Its settings are as
    they stood at the end; None where torch did not say, or CUDA was not used."""

    version: str | None
    cuda_version: str | None = None
    cudnn_version: int | None = None
    import_seconds: float | None = None
    threads: int | None = None
    matmul_tf32: bool | None = None
    conv_tf32: bool | None = None
    cudnn_benchmark: bool | None = None
    devices: tuple[TorchDevice, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The script's steps over the whole run. `boundary` is "optimizer" (its `step`), "batch" (a
    DataLoader's) or "forward" (a module's outermost calls, counted until the profiled window was over).
    `span_seconds` reaches from the end of the first step to that of the last."""

    boundary: str
    count: int
    span_seconds: float
    median_seconds: float | None
    p95_seconds: float | None
    first_seconds: float | None
    series: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class OptimizerTime:
    """One optimizer; `seconds` is what its `step` took on the CPU over the whole run. `source_line` is
    where it was built, `step_line` where it is stepped."""

    name: str
    source_line: str | None
    step_line: str | None
    steps: int
    seconds: float
    tensors: int
    device: str
    foreach: bool | None
    fused: bool | None
    built_in: bool = True


@dataclass(frozen=True, slots=True)
class WorkerTime:
    """One worker of a DataLoader: the processes (one for each epoch, or one in all) that were it.
    `busy_seconds` went into making batches (`collate_seconds` of them into joining samples),
    `wait_seconds` into waiting to be asked for one while an epoch ran. `cpu_seconds` is what its main
    thread used of a CPU while it was busy, `cpu_wait_seconds` how long it was ready to run but had none.
    `ended` is False where a process was gone without a word, so that its last moments are missing."""

    worker: int
    pid: int
    processes: int
    batches: int
    busy_seconds: float
    wait_seconds: float
    collate_seconds: float
    cpu_seconds: float
    cpu_wait_seconds: float | None
    ended: bool
    line: LineTime | None = None

    @property
    def busy_ratio(self) -> float | None:
        """The part of its time in which it made batches; None: it made none."""
        whole = self.busy_seconds + self.wait_seconds
        return self.busy_seconds / whole if whole > 0 else None


@dataclass(frozen=True, slots=True)
class LoaderTime:
    """Time in which the main thread stood in a DataLoader's `__next__`, over the whole run."""

    wait_seconds: float
    batches: int
    num_workers: int | None
    source_line: str | None = None
    batch_size: int | None = None
    pin_memory: bool | None = None
    persistent_workers: bool | None = None
    epochs: int = 0
    start_seconds: float = 0.0
    first_wait_seconds: float = 0.0
    workers: tuple[WorkerTime, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleTime:
    """One nn.Module over the profiled window. `name` is its qualified name below `root`, the class of the
    outermost module that was called ("" is that module itself), `kind` its own class. Self is without
    the modules that it calls, total with them: its forward on the CPU, its backward by the operators that
    its forward recorded, and the GPU's time of both; None where no backward, or no GPU, was seen.
    Parameters are its own, each counted once in `root`; `output_bytes` is what a call returns."""

    root: str
    name: str
    kind: str
    calls: int
    self_seconds: float
    total_seconds: float
    backward_self_seconds: float | None = None
    backward_seconds: float | None = None
    device_self_seconds: float | None = None
    device_seconds: float | None = None
    parameters: int | None = None
    parameter_bytes: int | None = None
    output_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """A phase of the step on the main thread, inside the profiled window."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Window:
    """What torch's profiler saw over a few steps. `operator_calls` are the outermost operators of the
    main thread that neither the loader nor the optimizer called, and `operator_seconds` their time; of
    them, and of the backward's, the long ones mostly take a tenth of a millisecond or more;
    `python_seconds` is what of the window lies in no operator, loader, optimizer or backward. Exposed
    is the part of the communication between ranks beside which nothing else is computed, and
    `own_step_seconds` the median step without it; None: no communication.
    `plain_step_seconds` is a step without the profiler, None where steps scatter too much to say."""

    first_step: int
    steps: int
    seconds: float
    plain_step_seconds: float | None
    paused_seconds: float
    operator_calls: int = 0
    operator_seconds: float = 0.0
    backward_operator_calls: int = 0
    long_operator_calls: int = 0
    long_operator_seconds: float = 0.0
    long_backward_calls: int = 0
    long_backward_seconds: float = 0.0
    python_seconds: float = 0.0
    operators: tuple[OperatorTime, ...] = ()
    shapes: tuple[OperatorShape, ...] = ()
    kernels: tuple[KernelTime, ...] = ()
    phases: tuple[PhaseTime, ...] = ()
    device: DeviceTime | None = None
    communication_seconds: float | None = None
    exposed_communication_seconds: float | None = None
    own_step_seconds: float | None = None
    copies: tuple[RepeatedCopy, ...] = ()


@dataclass(frozen=True, slots=True)
class FunctionTime:
    """One Python function by samples or by cProfile. `source_line` is "file:line"."""

    name: str
    source_line: str
    self_seconds: float
    total_seconds: float
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class LineTime:
    """A line of the user's code by samples, and the time for which it was the innermost such line.
    `self_seconds` is the part with no library's Python below it, `torch_seconds` that in torch's,
    `waiting_seconds` that in which it slept or waited for another thread, a process, a file or a socket.
    `phase` is start, import, data, backward, optimizer or step."""

    source_line: str
    function: str
    phase: str
    self_seconds: float
    total_seconds: float
    torch_seconds: float = 0.0
    waiting_seconds: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class ThreadTime:
    """A thread other than the script's main one, a worker process's included, and the place where it
    was seen most, for `share` of the `seconds` that it was watched."""

    pid: int
    process: str
    name: str
    main: bool
    seconds: float
    function: str
    share: float
    source_line: str | None


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU that the script held memory on, as NVML saw it every `interval_seconds`. Ratios are 0 to 1,
    None where the GPU does not give them; `idle_ratio` and `throttled_ratio` are shares of the looks."""

    index: int
    uuid: str
    name: str
    looks: int
    interval_seconds: float
    utilization_mean_ratio: float | None = None
    idle_ratio: float | None = None
    throttled_ratio: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    memory_peak_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_mean_watts: float | None = None
    sm_clock_mean_hertz: float | None = None
    sm_active_mean_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """A variable that reached ever more autograd graph nodes: (step, nodes) for some steps."""

    name: str
    source_line: str
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class HeldGrowth:
    """A list, dict or deque of the script, and the tensors and arrays in it, on `device`: (step, entries,
    bytes) for some steps."""

    name: str
    source_line: str
    device: str
    sizes: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class AllocatedGrowth:
    """Memory that torch had allocated on GPU `index`, in the script's own order: (step, bytes)."""

    index: int
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """Resident host memory of the script's process, `at` seconds after its start."""

    at: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class AllocationSite:
    """Memory on a GPU by the line that asked for it, in `blocks` pieces of `bytes` in all. The line is the
    user's where one is in the stack; None: it was allocated before the profiled window."""

    source_line: str | None
    function: str | None
    blocks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryHistory:
    """What CUDA's allocator did on one GPU in the profiled window, and what it held at its end. Reserved
    is what it took from the driver, allocated what tensors use, active also what waits to be freed, and
    inactive-split what is free in segments that are partly in use, which `empty_cache` cannot give back.
    `live` (at the end) and `peak` (when most was, `peak_bytes`) are in bytes as they were asked for.
    `cut`: there were more than the `events` kept, so that what came before them is not known."""

    device: int
    reserved_bytes: int
    allocated_bytes: int
    active_bytes: int
    inactive_split_bytes: int
    largest_free_bytes: int
    segments: int
    events: int
    cut: bool
    failed: int
    peak_bytes: int
    live: tuple[AllocationSite, ...] = ()
    peak: tuple[AllocationSite, ...] = ()

    @property
    def fragmentation_ratio(self) -> float | None:
        """Inactive-split of reserved; None where nothing is reserved."""
        return self.inactive_split_bytes / self.reserved_bytes if self.reserved_bytes else None


@dataclass(frozen=True, slots=True)
class ProfileFinding:
    """What held the script back. `gain_seconds` is the estimated most that the fix can save over this
    run; `source_line` is "file:line" of the user's code where it can be known."""

    id: str
    severity: Severity
    summary: str
    gain_seconds: float | None
    source_line: str | None
    evidence: tuple[str, ...] = ()
    fix: Fix | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One run of one script, from what its session holds. `notes` say what could not be had, and why."""

    run: RunFacts
    torch: TorchFacts | None
    steps: StepTimes | None
    optimizers: tuple[OptimizerTime, ...] = ()
    loaders: tuple[LoaderTime, ...] = ()
    window: Window | None = None
    functions: tuple[FunctionTime, ...] = ()
    lines: tuple[LineTime, ...] = ()
    growth: tuple[Growth, ...] = ()
    held: tuple[HeldGrowth, ...] = ()
    allocated: tuple[AllocatedGrowth, ...] = ()
    memory: tuple[MemoryPoint, ...] = ()
    threads: tuple[ThreadTime, ...] = ()
    gpus: tuple[GpuUse, ...] = ()
    modules: tuple[ModuleTime, ...] = ()
    memory_history: tuple[MemoryHistory, ...] = ()
    findings: tuple[ProfileFinding, ...] = ()
    notes: tuple[str, ...] = ()

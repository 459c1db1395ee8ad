"""Reads what the runner wrote: one strict shape, bounded in size, with a clear error for anything else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import msgspec

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.codec import decode

FORMAT = 1
MOST_BYTES = 256 * 1024 * 1024
Site = tuple[str, int | None] | None


class PythonSeen(msgspec.Struct, frozen=True):
    """The interpreter that ran the script."""

    version: str
    executable: str


class EndSeen(msgspec.Struct, frozen=True):
    """How the script ended, as the runner saw it."""

    how: str
    code: int | None = None
    text: str | None = None
    site: Site = None


class DeviceSeen(msgspec.Struct, frozen=True):
    """One GPU that torch allocated on."""

    index: int
    name: str
    memory_total_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_reserved_peak_bytes: int | None = None
    allocator_retries: int | None = None
    out_of_memory: int | None = None
    capability: tuple[int, int] | None = None


class TorchSeen(msgspec.Struct, frozen=True):
    """The script's torch; `version` is None where its import failed."""

    version: str | None = None
    import_seconds: float | None = None
    error: str | None = None
    cuda_version: str | None = None
    cudnn_version: int | None = None
    threads: int | None = None
    matmul_tf32: bool | None = None
    conv_tf32: bool | None = None
    cudnn_benchmark: bool | None = None
    devices: tuple[DeviceSeen, ...] = ()


class StepsSeen(msgspec.Struct, frozen=True):
    """A row of steps: the lengths of the first ones, the count and the span of all."""

    count: int = 0
    span_seconds: float = 0.0
    seconds: list[float] = []


class OptimizerSeen(msgspec.Struct, frozen=True):
    """One optimizer's steps."""

    name: str
    steps: int
    seconds: float
    tensors: int
    device: str
    site: Site = None
    built: Site = None
    module: str = ""
    foreach: bool | None = None
    fused: bool | None = None


class LoaderSeen(msgspec.Struct, frozen=True):
    """One loop over a DataLoader."""

    batches: int
    epochs: int
    wait_seconds: float
    first_wait_seconds: float
    start_seconds: float
    site: Site = None
    num_workers: int | None = None
    batch_size: int | None = None
    pin_memory: bool = False
    persistent: bool = False


class CopySeen(msgspec.Struct, frozen=True):
    """A line that copied the same `bytes` (of all steps together) from device to device again and again."""

    site: Site
    source: str
    target: str
    steps: int
    tensors: int
    bytes: int
    seconds: float


class WindowSeen(msgspec.Struct, frozen=True):
    """The profiled window; `state` is off, waiting, active, done or failed."""

    state: str
    first_step: int = 0
    steps: int = 0
    plain_step_seconds: float = 0.0
    seconds: float = 0.0
    open_seconds: float = 0.0
    stop_seconds: float = 0.0
    export_seconds: float = 0.0
    begun_at_ns: int = 0
    ended_at_ns: int = 0
    device: bool = False
    ended: str | None = None
    error: str | None = None
    trace: str | None = None
    modules: str | None = None
    modules_why: str | None = None
    hook_seconds: float = 0.0
    memory_history: str | None = None
    memory_history_why: str | None = None
    copies: tuple[CopySeen, ...] = ()


class GrowthSeen(msgspec.Struct, frozen=True):
    """The graph nodes that a variable reached after some steps."""

    file: str
    function: str
    line: int
    name: str
    sizes: list[tuple[int, int]]


class HeldSeen(msgspec.Struct, frozen=True):
    """What a container of the script held after some steps: (step, entries, bytes)."""

    file: str
    function: str
    line: int
    name: str
    device: str
    sizes: list[tuple[int, int, int]]


class AllocatedSeen(msgspec.Struct, frozen=True):
    """What torch had allocated on a GPU after some steps: (step, bytes)."""

    index: int
    sizes: list[tuple[int, int]]


class SamplesSeen(msgspec.Struct, frozen=True):
    """Stacks, leaf first: (seconds, whether steps had begun, ((function, line), …))."""

    interval_seconds: float
    samples: int
    functions: list[tuple[str, str, int, bool]]
    stacks: list[tuple[float, bool, list[tuple[int, int]]]]

    def __post_init__(self) -> None:
        known = len(self.functions)
        for _, _, frames in self.stacks:
            if any(not 0 <= number < known for number, _ in frames):
                raise ValueError("a stack names a function that is not there")


class ThreadSeen(msgspec.Struct, frozen=True):
    """A thread other than the script's main one, and where it was for the greatest `share` of the time."""

    pid: int
    process: str
    name: str
    main: bool
    seconds: float
    function: str
    share: float
    site: Site = None


class CpuSeen(msgspec.Struct, frozen=True):
    """What the process may use of the machine's CPUs; `quota` in CPUs, None: no limit."""

    cores: int | None = None
    quota: float | None = None
    local_ranks: int | None = None
    omp_num_threads: str | None = None


class Session(msgspec.Struct, frozen=True):
    """session.json of one run."""

    format: int
    pid: int
    program: tuple[str, ...]
    cwd: str
    python: PythonSeen
    started_at: float
    wall_seconds: float
    held_up_seconds: float
    ended: EndSeen
    steps: StepsSeen
    batches: StepsSeen
    optimizers: tuple[OptimizerSeen, ...]
    loaders: tuple[LoaderSeen, ...]
    window: WindowSeen
    growth: tuple[GrowthSeen, ...]
    memory: list[tuple[float, int]]
    main_cpu_seconds: float | None = None
    cpu_wait_seconds: float | None = None
    cpu_seconds: float | None = None
    # Of processes that the script started and that have ended.
    children_cpu_seconds: float | None = None
    cpus: int | None = None
    cpu: CpuSeen = CpuSeen()
    torch: TorchSeen | None = None
    samples: SamplesSeen | None = None
    forwards: StepsSeen = StepsSeen()
    calls: list[tuple[str, str, int, int, int, float, float]] | None = None
    threads: tuple[ThreadSeen, ...] = ()
    # When the first step had ended, after the script's start; None: there was none.
    loop_at_seconds: float | None = None
    notes: tuple[str, ...] = ()
    held: tuple[HeldSeen, ...] = ()
    allocated: tuple[AllocatedSeen, ...] = ()


class _Head(msgspec.Struct):
    format: int


def regular(path: Path) -> bytes:
    """What is in a file that may come from somebody else.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which might never end.
        GpuDoctorError: it has more than MOST_BYTES.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if seen.st_size > MOST_BYTES:
            raise GpuDoctorError(
                f"{path} is too big to be a session", cause=f"It has {seen.st_size} bytes."
            )
        return file.read(MOST_BYTES)


def read_session(folder: Path) -> Session:
    """The session in `folder`.

    Raises:
        GpuDoctorError: there is none, it is cut off, or a newer gpudoctor wrote it.
    """
    path = folder / "session.json"
    try:
        data = regular(path)
    except OSError as error:
        raise GpuDoctorError(
            f"there is no session in {folder}",
            cause=error.strerror or str(error),
            hint="Name the folder that `gpudoctor profile --out DIR` wrote.",
        ) from error
    version = decode(data, _Head, what=str(path)).format
    if version > FORMAT:
        raise GpuDoctorError(
            f"{path} was written by a newer gpudoctor",
            cause=f"Its format is {version}; this gpudoctor reads up to {FORMAT}.",
            hint="Update gpudoctor.",
            exit_code=ExitCode.USAGE,
        )
    return decode(data, Session, what=str(path))

"""A process and its identity."""

from __future__ import annotations

from gpudoctor.model.values import Value


class ProcessKey(Value, frozen=True, order=True):
    """A process's identity: a pid alone is reused, a pid with its start time is not.

    `started` is seconds since the epoch; None when the process is not visible to us.
    """

    pid: int
    started: float | None


class DeviceProcess(Value, frozen=True):
    """One line of a GPU's own process list, as NVML gives it (pids of the host's namespace)."""

    pid: int
    kind: str  # "compute", "graphics" or "mps"
    memory_used_bytes: int | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    sm_ratio: float | None = None
    memory_ratio: float | None = None


class GpuUse(Value, frozen=True):
    """What a process holds of one GPU (or of one MIG instance of it)."""

    index: int
    uuid: str
    kind: str
    memory_used_bytes: int | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    sm_ratio: float | None = None
    memory_ratio: float | None = None


class ProcessFacts(Value, frozen=True):
    """What the operating system says of a process."""

    key: ProcessKey
    name: str
    command: tuple[str, ...] = ()
    user: str | None = None
    uid: int | None = None
    parent_pid: int | None = None
    state: str | None = None
    cpu_ratio: float | None = None
    cpu_seconds: float | None = None
    memory_used_bytes: int | None = None
    working_directory: str | None = None


class GpuProcess(Value, frozen=True):
    """A process that uses one or more GPUs. `visible` is False where its pid is not in our namespace."""

    pid: int
    started: float | None
    gpus: tuple[GpuUse, ...]
    memory_used_bytes: int | None
    visible: bool
    name: str | None = None
    command: tuple[str, ...] = ()
    user: str | None = None
    uid: int | None = None
    parent_pid: int | None = None
    state: str | None = None
    cpu_ratio: float | None = None
    host_memory_used_bytes: int | None = None

    @property
    def key(self) -> ProcessKey:
        """The identity to check again before anything is done to the process."""
        return ProcessKey(self.pid, self.started)

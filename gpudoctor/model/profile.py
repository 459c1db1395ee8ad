"""What one profiled run was made of."""

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
class FunctionTime:
    """One Python function by samples or by cProfile. `source_line` is "file:line"."""

    name: str
    source_line: str
    self_seconds: float
    total_seconds: float
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class LoaderTime:
    """Time in which the main thread stood in a DataLoader's `__next__`, over the whole run."""

    wait_seconds: float
    batches: int
    num_workers: int | None

"""Many machines, as a Prometheus knows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetMachine:
    """One machine. `sampling` False: its daemon takes no samples; None: it does not answer at all.

    `gpus_free` have no process; `gpus_idle` hold memory though nothing ran for a while. `findings`
    counts errors of the checks, `xids` the kinds of Xid of the last day by GPU.
    """

    instance: str
    sampling: bool | None
    gpus: int | None = None
    gpus_down: int | None = None
    gpus_free: int | None = None
    gpus_idle: int | None = None
    utilization_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None
    hottest_celsius: float | None = None
    processes: int | None = None
    orphans_memory_bytes: float | None = None
    findings: int | None = None
    xids: int | None = None

    @property
    def memory_ratio(self) -> float | None:
        """The share of the GPUs' memory that is in use."""
        if self.memory_used_bytes is None or not self.memory_total_bytes:
            return None
        return self.memory_used_bytes / self.memory_total_bytes

    @property
    def troubles(self) -> tuple[str, ...]:
        """What speaks for looking at this machine, the worst first."""
        found = []
        if self.sampling is None:
            found.append("does not answer")
        elif not self.sampling:
            found.append("no samples")
        for count, one, more in (
            (self.gpus_down, "GPU not answering", "GPUs not answering"),
            (self.findings, "error found", "errors found"),
            (self.xids, "Xid today", "Xids today"),
            (self.gpus_idle, "GPU held but idle", "GPUs held but idle"),
        ):
            if count:
                found.append(f"{count} {one if count == 1 else more}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All machines, at one moment (seconds since the epoch)."""

    at: float
    source: str
    machines: tuple[FleetMachine, ...]


@dataclass(frozen=True, slots=True)
class FleetGpu:
    """One GPU of a machine. `up` False: it does not answer; None: nobody tells.

    `busiest_ratio` is its highest utilisation over the time that was asked for, `users` hold its
    memory, the greatest first, `xids` are those of the last day.
    """

    uuid: str
    index: int | None = None
    name: str | None = None
    up: bool | None = None
    utilization_ratio: float | None = None
    busiest_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None
    celsius: float | None = None
    processes: int | None = None
    users: tuple[str, ...] = ()
    xids: tuple[int, ...] = ()

    @property
    def memory_ratio(self) -> float | None:
        """The share of its memory that is in use."""
        if self.memory_used_bytes is None or not self.memory_total_bytes:
            return None
        return self.memory_used_bytes / self.memory_total_bytes

"""What the flight recorder remembers, as values."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.model.snapshot import GpuEvent


@dataclass(frozen=True, slots=True)
class GpuPoint:
    """A GPU over one stretch of time that begins at `at` (seconds since the epoch).

    Means, but for memory and temperature, which are the highest. `up_ratio` is the share of samples
    that the GPU answered, `slowed_ratio` the share in which something but idleness held its clocks
    down.
    """

    at: float
    up_ratio: float
    utilization_ratio: float | None = None
    sm_active_ratio: float | None = None
    memory_used_bytes: int | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    sm_clock_hertz: float | None = None
    slowed_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class GpuHistory:
    """A GPU's points, oldest first, `step_seconds` apart where nothing is missing."""

    uuid: str
    index: int
    name: str
    memory_total_bytes: int | None
    step_seconds: float
    points: tuple[GpuPoint, ...]


@dataclass(frozen=True, slots=True)
class ProcessSpan:
    """A process on a GPU, from when it was first seen there to when it was last. Seconds, bytes."""

    pid: int
    started: float | None
    user: str | None
    name: str | None
    command: tuple[str, ...]
    uuid: str
    first_seen: float
    last_seen: float
    memory_peak_bytes: int | None
    memory_last_bytes: int | None
    sm_mean_ratio: float | None


@dataclass(frozen=True, slots=True)
class Note:
    """What the daemon noticed, at `at` (seconds since the epoch), or that it is over (`ended`).

    `kind` is "gpu" (it stopped answering), "finding" (`name` is the check) or "orphan". `gpus` are
    the indices that it is about, none where it is about the machine.
    """

    at: float
    kind: str
    name: str
    severity: str
    text: str
    ended: bool = False
    gpus: tuple[int, ...] = ()
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What was remembered of a stretch of time.

    `sources` says what all of the file came from: "nvml", or "demo" and "replay".
    """

    since: float
    until: float
    gpus: tuple[GpuHistory, ...]
    processes: tuple[ProcessSpan, ...]
    events: tuple[GpuEvent, ...]
    sources: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def simulated(self) -> bool:
        """True when some of it was made up."""
        return "demo" in self.sources

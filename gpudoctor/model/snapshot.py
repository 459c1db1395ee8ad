"""One look at the machine: immutable, complete, and the same for every front end."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gpudoctor.model.process import GpuProcess
from gpudoctor.model.readings import (
    ClockReading,
    DeviceFacts,
    GpmReading,
    HealthReading,
    MemoryReading,
    MigReading,
    NvLinkReading,
    PcieReading,
    PowerReading,
    ThermalReading,
    ThrottleReading,
    UtilizationReading,
)
from gpudoctor.model.values import Value


class DeviceState(StrEnum):
    """OK: answers. STALE: missed its deadline, old values shown. LOST: fell off the bus. FAILED: errors."""

    OK = "ok"
    STALE = "stale"
    LOST = "lost"
    FAILED = "failed"


class DriverFacts(Value, frozen=True):
    """The driver as NVML names it; `cuda_version` is the newest CUDA that it supports."""

    version: str | None = None
    nvml_version: str | None = None
    cuda_version: tuple[int, int] | None = None


class Device(Value, frozen=True):
    """A GPU with its latest readings.

    `stale_since` (seconds since the epoch) is set when its worker missed a deadline; the readings
    are then the last ones that arrived.
    """

    facts: DeviceFacts
    state: DeviceState = DeviceState.OK
    error: str | None = None
    stale_since: float | None = None
    memory: MemoryReading = msgspec.field(default_factory=MemoryReading)
    utilization: UtilizationReading = msgspec.field(default_factory=UtilizationReading)
    power: PowerReading = msgspec.field(default_factory=PowerReading)
    thermal: ThermalReading = msgspec.field(default_factory=ThermalReading)
    clocks: ClockReading = msgspec.field(default_factory=ClockReading)
    pcie: PcieReading = msgspec.field(default_factory=PcieReading)
    nvlink: NvLinkReading = msgspec.field(default_factory=NvLinkReading)
    health: HealthReading = msgspec.field(default_factory=HealthReading)
    gpm: GpmReading = msgspec.field(default_factory=GpmReading)
    mig: MigReading = msgspec.field(default_factory=MigReading)
    throttle: ThrottleReading = msgspec.field(default_factory=ThrottleReading)

    @property
    def index(self) -> int:
        """NVML's index, which is also nvidia-smi's."""
        return self.facts.index

    @property
    def uuid(self) -> str:
        """The name that survives reboots and renumbering."""
        return self.facts.uuid


class HostReading(Value, frozen=True):
    """The machine around the GPUs. `cpu_ratio` is the share of all CPUs since the last look."""

    hostname: str
    cpu_count: int | None = None
    cpu_ratio: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    load_average: tuple[float, float, float] | None = None


class GpuEvent(Value, frozen=True):
    """Something that the driver told of a GPU: `kind` "xid" with the Xid number as `code`, and others."""

    at: float
    uuid: str
    kind: str
    code: int
    text: str = ""


class CollectorOutcome(Value, frozen=True):
    """How the last run of one collector on one GPU went."""

    collector: str
    uuid: str
    ok: bool
    duration_seconds: float
    at: float
    error: str | None = None


class Snapshot(Value, frozen=True):
    """All that was seen at one moment. `source` is "nvml", "replay" or "demo".

    `duration_seconds` is how long the look itself took.
    """

    taken_at: float
    monotonic: float
    source: str
    driver: DriverFacts
    devices: tuple[Device, ...]
    processes: tuple[GpuProcess, ...]
    host: HostReading
    events: tuple[GpuEvent, ...] = ()
    collectors: tuple[CollectorOutcome, ...] = ()
    duration_seconds: float | None = None

    @property
    def simulated(self) -> bool:
        """True when no machine stands behind the values."""
        return self.source == "demo"

    def device(self, uuid: str) -> Device | None:
        """The device with this UUID, or None."""
        return next((device for device in self.devices if device.uuid == uuid), None)

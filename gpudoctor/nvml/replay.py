"""A machine that is played, not asked: a recording, or the scripted machine of --demo.

It answers the same questions as the driver (Nvml) and the operating system (host.api.Host).
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gpudoctor.model.process import DeviceProcess, GpuProcess, ProcessFacts
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
from gpudoctor.model.recording import Recording
from gpudoctor.model.snapshot import (
    Device,
    DeviceState,
    DriverFacts,
    GpuEvent,
    HostReading,
    Snapshot,
)
from gpudoctor.nvml.api import DeviceLostError, NvmlCallError

_NVML_ERROR_GPU_IS_LOST = 15
_NVML_ERROR_UNKNOWN = 999
_POLL_S = 0.2
_MOMENT_S = 0.05


class Timeline(Protocol):
    """What was, or is made up to be, at each moment. Times in it are seconds of the replay's clock."""

    @property
    def source(self) -> str: ...
    def at(self, elapsed_s: float) -> Snapshot: ...
    def events_until(self, elapsed_s: float) -> tuple[GpuEvent, ...]: ...


class RecordedTimeline:
    """A recording, moved to now: it starts when it is opened and stands still at its end."""

    source = "replay"

    def __init__(self, recording: Recording, opened_at: float) -> None:
        first = recording.snapshots[0].taken_at
        self._shift = opened_at - first
        self._offsets = [snapshot.taken_at - first for snapshot in recording.snapshots]
        self._snapshots = recording.snapshots

    def at(self, elapsed_s: float) -> Snapshot:
        """The last snapshot that was taken by then, with its processes' start times moved to now."""
        found = self._snapshots[max(0, bisect.bisect_right(self._offsets, elapsed_s) - 1)]
        return replace(found, processes=tuple(self._moved(row) for row in found.processes))

    def events_until(self, elapsed_s: float) -> tuple[GpuEvent, ...]:
        """All events up to then, oldest first, at the times of the replay."""
        position = max(0, bisect.bisect_right(self._offsets, elapsed_s) - 1)
        seen = dict.fromkeys(
            event for snapshot in self._snapshots[: position + 1] for event in snapshot.events
        )
        return tuple(replace(event, at=event.at + self._shift) for event in seen)

    def _moved(self, row: GpuProcess) -> GpuProcess:
        return row if row.started is None else replace(row, started=row.started + self._shift)


class ReplayMachine:
    """Plays a timeline. Implements Nvml and Host."""

    def __init__(self, timeline: Timeline, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeline = timeline
        self._clock = clock
        self._opened = clock()
        self._seen_events = 0
        self._shown: tuple[float, Snapshot] | None = None

    @property
    def source(self) -> str:
        """ "replay" or "demo"."""
        return self._timeline.source

    def now(self) -> Snapshot:
        """What the timeline shows at this moment."""
        elapsed = self._clock() - self._opened
        shown = self._shown
        # One sample asks some hundred times; it is to see one moment, made once.
        if shown is None or not 0 <= elapsed - shown[0] < _MOMENT_S:
            shown = self._shown = (elapsed, self._timeline.at(elapsed))
        return shown[1]

    def driver(self) -> DriverFacts:
        """The recorded driver."""
        return self.now().driver

    def device_count(self) -> int:
        """The number of GPUs of the recorded machine."""
        return len(self.now().devices)

    def device(self, index: int) -> ReplayDevice:
        """The recorded GPU of this index."""
        return ReplayDevice(self, index)

    def wait_events(self, timeout_s: float) -> tuple[GpuEvent, ...]:
        """Events whose moment has come since the last call; waits for one up to `timeout_s`."""
        until = time.monotonic() + timeout_s
        while True:
            events = self._timeline.events_until(self._clock() - self._opened)
            if len(events) > self._seen_events:
                fresh, self._seen_events = events[self._seen_events :], len(events)
                return fresh
            left = until - time.monotonic()
            if left <= 0:
                return ()
            time.sleep(min(left, _POLL_S))

    def close(self) -> None:
        """There is nothing to let go of."""

    def reading(self) -> HostReading:
        """The recorded host."""
        return self.now().host

    def processes(self, pids: frozenset[int]) -> dict[int, ProcessFacts]:
        """The recorded facts of those pids that were visible when recorded."""
        return {
            row.pid: _facts(row) for row in self.now().processes if row.visible and row.pid in pids
        }


class ReplayDevice:
    """One GPU of a played machine. Implements NvmlDevice."""

    def __init__(self, machine: ReplayMachine, index: int) -> None:
        self._machine = machine
        self._index = index

    def _now(self, function: str) -> Device:
        device = self._machine.now().devices[self._index]
        if device.state is DeviceState.LOST:
            raise DeviceLostError(function, _NVML_ERROR_GPU_IS_LOST, "GPU is lost")
        if device.state is not DeviceState.OK:
            raise NvmlCallError(function, _NVML_ERROR_UNKNOWN, device.error or "no answer")
        return device

    def facts(self) -> DeviceFacts:
        """Recorded facts; known even of a lost GPU, as on a real machine."""
        return self._machine.now().devices[self._index].facts

    def memory(self) -> MemoryReading:
        """Recorded memory."""
        return self._now("memory").memory

    def utilization(self) -> UtilizationReading:
        """Recorded utilisation."""
        return self._now("utilization").utilization

    def power(self) -> PowerReading:
        """Recorded power."""
        return self._now("power").power

    def thermal(self) -> ThermalReading:
        """Recorded temperatures."""
        return self._now("thermal").thermal

    def clocks(self) -> ClockReading:
        """Recorded clocks."""
        return self._now("clocks").clocks

    def throttle(self) -> ThrottleReading:
        """Recorded times of throttling."""
        return self._now("throttle").throttle

    def pcie(self) -> PcieReading:
        """Recorded PCIe link."""
        return self._now("pcie").pcie

    def nvlink(self) -> NvLinkReading:
        """Recorded NVLink."""
        return self._now("nvlink").nvlink

    def health(self) -> HealthReading:
        """Recorded health."""
        return self._now("health").health

    def gpm(self) -> GpmReading:
        """Recorded performance monitoring."""
        return self._now("gpm").gpm

    def mig(self) -> MigReading:
        """Recorded MIG mode and instances."""
        return self._now("mig").mig

    def processes(self) -> tuple[DeviceProcess, ...]:
        """Recorded processes of this GPU."""
        self._now("processes")
        return tuple(
            DeviceProcess(
                row.pid,
                use.kind,
                use.memory_used_bytes,
                use.gpu_instance,
                use.compute_instance,
                use.sm_ratio,
                use.memory_ratio,
            )
            for row in self._machine.now().processes
            for use in row.gpus
            if use.index == self._index
        )


def _facts(row: GpuProcess) -> ProcessFacts:
    return ProcessFacts(
        row.key,
        row.name or "",
        row.command,
        row.user,
        row.uid,
        row.parent_pid,
        row.state,
        row.cpu_ratio,
        None,
        row.host_memory_used_bytes,
    )

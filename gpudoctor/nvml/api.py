"""What gpudoctor asks of a driver. Nothing above this line knows which machine answers.

A reading that the GPU, the driver or our rights do not give is None inside the value. A call that
fails as a whole raises NvmlCallError; a GPU that has left the bus raises DeviceLost.
"""

from __future__ import annotations

from typing import Protocol

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.process import DeviceProcess
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
from gpudoctor.model.snapshot import DriverFacts, GpuEvent


class NvmlUnavailableError(GpuDoctorError):
    """The driver cannot be asked at all: absent, forbidden, mismatched, gone.

    `code` is what nvmlInit returned, where it is that call which failed.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        hint: str | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message, cause=cause, hint=hint, exit_code=ExitCode.UNAVAILABLE)
        self.code = code


class NvmlCallError(Exception):
    """One NVML call failed. `code` is NVML's return value."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function}: {text}")
        self.function = function
        self.code = code
        self.text = text


class DeviceLostError(NvmlCallError):
    """The GPU has fallen off the bus or is otherwise inaccessible."""


class DriverGoneError(NvmlCallError):
    """The driver was unloaded under us: every handle is void, and NVML must be opened again."""


class NvmlDevice(Protocol):
    """One GPU. Every method may block in the driver, so only that GPU's worker calls it."""

    def facts(self) -> DeviceFacts: ...
    def memory(self) -> MemoryReading: ...
    def utilization(self) -> UtilizationReading: ...
    def power(self) -> PowerReading: ...
    def thermal(self) -> ThermalReading: ...
    def clocks(self) -> ClockReading: ...
    def throttle(self) -> ThrottleReading: ...
    def pcie(self) -> PcieReading: ...
    def nvlink(self) -> NvLinkReading: ...
    def health(self) -> HealthReading: ...
    def gpm(self) -> GpmReading: ...
    def mig(self) -> MigReading: ...
    def processes(self) -> tuple[DeviceProcess, ...]: ...


class Nvml(Protocol):
    """A machine's driver."""

    @property
    def source(self) -> str: ...
    def driver(self) -> DriverFacts: ...
    def device_count(self) -> int: ...
    def device(self, index: int) -> NvmlDevice: ...
    def wait_events(self, timeout_s: float) -> tuple[GpuEvent, ...]: ...
    def close(self) -> None: ...

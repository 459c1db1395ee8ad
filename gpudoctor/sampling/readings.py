"""The collectors. A slow or seldom changing group has a period of its own."""

from __future__ import annotations

from gpudoctor.model.process import DeviceProcess
from gpudoctor.model.readings import (
    ClockReading,
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
from gpudoctor.nvml.api import NvmlDevice
from gpudoctor.sampling.collector import collector


@collector("memory")
def memory(device: NvmlDevice) -> MemoryReading:
    """Frame buffer and BAR1 memory."""
    return device.memory()


@collector("utilization")
def utilization(device: NvmlDevice) -> UtilizationReading:
    """Busy shares of the GPU, its memory controller, encoder and decoder."""
    return device.utilization()


@collector("power")
def power(device: NvmlDevice) -> PowerReading:
    """Power, its limit, and energy since the driver was loaded."""
    return device.power()


@collector("thermal")
def thermal(device: NvmlDevice) -> ThermalReading:
    """Temperatures and fan."""
    return device.thermal()


@collector("clocks")
def clocks(device: NvmlDevice) -> ClockReading:
    """Clocks, performance state and the reasons why clocks are held down."""
    return device.clocks()


@collector("throttle", period_s=5.0)
def throttle(device: NvmlDevice) -> ThrottleReading:
    """How long each reason has held the clocks down, as the driver counts it."""
    return device.throttle()


@collector("gpm")
def gpm(device: NvmlDevice) -> GpmReading:
    """SM activity and occupancy, tensor and memory pipes (Hopper and newer)."""
    return device.gpm()


@collector("processes")
def processes(device: NvmlDevice) -> tuple[DeviceProcess, ...]:
    """The compute, graphics and MPS processes of the GPU."""
    return device.processes()


@collector("pcie", period_s=5.0)
def pcie(device: NvmlDevice) -> PcieReading:
    """PCIe link and throughput; older drivers block about 40 ms for the throughput."""
    return device.pcie()


@collector("nvlink", period_s=5.0)
def nvlink(device: NvmlDevice) -> NvLinkReading:
    """NVLink data and errors of the whole device."""
    return device.nvlink()


@collector("mig", period_s=10.0)
def mig(device: NvmlDevice) -> MigReading:
    """MIG mode and instances."""
    return device.mig()


@collector("health", period_s=30.0)
def health(device: NvmlDevice) -> HealthReading:
    """ECC errors, row remapping, retired pages and the driver's recommended recovery action."""
    return device.health()

"""One GPU, read through nvidia-ml-py. Implements NvmlDevice."""

from __future__ import annotations

import pynvml

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
from gpudoctor.nvml import facts, fields, health, links, mig
from gpudoctor.nvml.calls import Group, ratio, scaled
from gpudoctor.nvml.gpm import Gpm
from gpudoctor.nvml.process_list import ProcessList
from gpudoctor.nvml.throttle import Throttle

_MHZ = 1e6
_KIB = 1024
# NVML's bits and the names that the clock-event reasons have in its documentation.
REASONS = (
    (0x1, "idle"),
    (0x2, "applications_clocks_setting"),
    (0x4, "sw_power_cap"),
    (0x8, "hw_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "sw_thermal_slowdown"),
    (0x40, "hw_thermal_slowdown"),
    (0x80, "hw_power_brake_slowdown"),
    (0x100, "display_clock_setting"),
    (0x200, "board_limit"),
    (0x400, "reliability"),
)


class Device:
    """The GPU behind `handle`. Every call may block, so only its own worker makes them."""

    def __init__(self, handle: object, index: int) -> None:
        self._handle = handle
        self._index = index
        self._processes = ProcessList(handle)
        self._gpm = Gpm(handle)
        self._throttle = Throttle(handle)
        self._memory_v2 = True

    def facts(self) -> DeviceFacts:
        """What does not change."""
        return facts.read(self._handle, self._index)

    def memory(self) -> MemoryReading:
        """Frame buffer and BAR1; `used` excludes the driver's reserve where that is told apart."""
        group = Group()
        info, reserved = None, None
        if self._memory_v2:
            info = group.get(pynvml.nvmlDeviceGetMemoryInfo, self._handle, pynvml.nvmlMemory_v2)
            reserved = None if info is None else info.reserved
        if info is None:
            info = group.get(pynvml.nvmlDeviceGetMemoryInfo, self._handle)
            # A driver before 510: not to be asked again, two calls would cost twice.
            self._memory_v2 = info is None
        bar1 = group.get(pynvml.nvmlDeviceGetBAR1MemoryInfo, self._handle)
        group.close()
        return MemoryReading(
            total_bytes=None if info is None else info.total,
            used_bytes=None if info is None else info.used,
            free_bytes=None if info is None else info.free,
            reserved_bytes=reserved,
            bar1_used_bytes=None if bar1 is None else bar1.bar1Used,
            bar1_total_bytes=None if bar1 is None else bar1.bar1Total,
        )

    def utilization(self) -> UtilizationReading:
        """Busy shares since the driver's last sample."""
        group = Group()
        rates = group.get(pynvml.nvmlDeviceGetUtilizationRates, self._handle)
        encoder = group.get(pynvml.nvmlDeviceGetEncoderUtilization, self._handle)
        decoder = group.get(pynvml.nvmlDeviceGetDecoderUtilization, self._handle)
        group.close()
        return UtilizationReading(
            gpu_ratio=ratio(None if rates is None else rates.gpu),
            memory_ratio=ratio(None if rates is None else rates.memory),
            encoder_ratio=ratio(None if encoder is None else encoder[0]),
            decoder_ratio=ratio(None if decoder is None else decoder[0]),
        )

    def power(self) -> PowerReading:
        """Power and energy; NVML gives milliwatts and millijoules."""
        group = Group()
        usage = group.get(pynvml.nvmlDeviceGetPowerUsage, self._handle)
        limit = group.get(pynvml.nvmlDeviceGetEnforcedPowerLimit, self._handle)
        energy = group.get(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        group.close()
        return PowerReading(scaled(usage, 1e-3), scaled(limit, 1e-3), scaled(energy, 1e-3))

    def thermal(self) -> ThermalReading:
        """Temperatures and the first fan."""
        group = Group()
        sensor = pynvml.NVML_TEMPERATURE_GPU
        gpu = group.get(pynvml.nvmlDeviceGetTemperature, self._handle, sensor)
        if gpu is None and hasattr(pynvml, "nvmlDeviceGetTemperatureV"):
            # NVIDIA has announced that the first goes with CUDA 14.
            gpu = group.get(pynvml.nvmlDeviceGetTemperatureV, self._handle, sensor)
        fan = group.get(pynvml.nvmlDeviceGetFanSpeed, self._handle)
        memory = group.get(fields.values_of, self._handle, (fields.MEMORY_TEMPERATURE,)) or {}
        group.close()
        hot = memory.get(fields.MEMORY_TEMPERATURE)
        # A board without the sensor reports 0 with success.
        return ThermalReading(gpu, int(hot) if hot else None, ratio(fan))

    def clocks(self) -> ClockReading:
        """Clocks, performance state, and what holds the clocks down."""
        group = Group()
        sm, memory, graphics, video = (
            group.get(pynvml.nvmlDeviceGetClockInfo, self._handle, kind)
            for kind in (
                pynvml.NVML_CLOCK_SM,
                pynvml.NVML_CLOCK_MEM,
                pynvml.NVML_CLOCK_GRAPHICS,
                pynvml.NVML_CLOCK_VIDEO,
            )
        )
        state = group.get(pynvml.nvmlDeviceGetPerformanceState, self._handle)
        mask = group.get(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, self._handle)
        group.close()
        return ClockReading(
            sm_hertz=scaled(sm, _MHZ),
            memory_hertz=scaled(memory, _MHZ),
            graphics_hertz=scaled(graphics, _MHZ),
            video_hertz=scaled(video, _MHZ),
            # 32 is NVML's "unknown".
            performance_state=None if state is None or state > 15 else state,
            reasons=None if mask is None else _reasons(mask),
        )

    def throttle(self) -> ThrottleReading:
        """How long each reason has held the clocks down."""
        return self._throttle.read()

    def pcie(self) -> PcieReading:
        """The PCIe link. The throughput is measured inside the call, 20 ms each way."""
        group = Group()
        transmit, receive = (
            group.get(pynvml.nvmlDeviceGetPcieThroughput, self._handle, way)
            for way in (pynvml.NVML_PCIE_UTIL_TX_BYTES, pynvml.NVML_PCIE_UTIL_RX_BYTES)
        )
        reading = PcieReading(
            generation=group.get(pynvml.nvmlDeviceGetCurrPcieLinkGeneration, self._handle),
            width=group.get(pynvml.nvmlDeviceGetCurrPcieLinkWidth, self._handle),
            transmit_bytes_per_second=scaled(transmit, _KIB),
            receive_bytes_per_second=scaled(receive, _KIB),
            replays=group.get(pynvml.nvmlDeviceGetPcieReplayCounter, self._handle),
        )
        group.close()
        return reading

    def nvlink(self) -> NvLinkReading:
        """All links together, and each."""
        return links.read(self._handle)

    def health(self) -> HealthReading:
        """ECC, remapping, retired pages, recommended recovery, modes."""
        return health.read(self._handle)

    def gpm(self) -> GpmReading:
        """Performance monitoring since the last call."""
        return self._gpm.read()

    def mig(self) -> MigReading:
        """MIG mode and instances."""
        return mig.read(self._handle)

    def processes(self) -> tuple[DeviceProcess, ...]:
        """Compute, graphics and MPS processes."""
        return self._processes.read()


def _reasons(mask: int) -> tuple[str, ...]:
    named = tuple(name for bit, name in REASONS if mask & bit)
    rest = mask & ~sum(bit for bit, _ in REASONS)
    return named if not rest else (*named, f"0x{rest:x}")

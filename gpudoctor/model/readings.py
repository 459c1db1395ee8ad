"""What one GPU says of itself, group by group. `None`: this GPU, driver or right does not give it."""

from __future__ import annotations

from gpudoctor.model.values import Value


class DeviceFacts(Value, frozen=True):
    """What does not change while the driver is loaded; read once."""

    uuid: str
    index: int
    name: str
    pci_bus_id: str
    architecture: str | None = None
    compute_capability: tuple[int, int] | None = None
    memory_total_bytes: int | None = None
    cuda_cores: int | None = None
    minor_number: int | None = None
    serial: str | None = None
    vbios_version: str | None = None
    power_limit_default_watts: float | None = None
    power_limit_max_watts: float | None = None
    temperature_slowdown_celsius: int | None = None
    temperature_shutdown_celsius: int | None = None
    sm_clock_max_hertz: float | None = None
    memory_clock_max_hertz: float | None = None
    pcie_generation_max: int | None = None
    pcie_width_max: int | None = None
    nvlink_count: int | None = None
    temperature_memory_max_celsius: int | None = None


class MemoryReading(Value, frozen=True):
    """Frame buffer and BAR1, in bytes. `reserved` is the driver's own share (driver 510 and newer)."""

    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    reserved_bytes: int | None = None
    bar1_used_bytes: int | None = None
    bar1_total_bytes: int | None = None


class UtilizationReading(Value, frozen=True):
    """Share of time, 0 to 1, in which a unit was busy. Not given on a GPU in MIG mode."""

    gpu_ratio: float | None = None
    memory_ratio: float | None = None
    encoder_ratio: float | None = None
    decoder_ratio: float | None = None


class PowerReading(Value, frozen=True):
    """Power in watts and energy in joules since the driver was loaded."""

    usage_watts: float | None = None
    limit_watts: float | None = None
    energy_joules: float | None = None


class ThermalReading(Value, frozen=True):
    """Temperatures in degrees Celsius, fan as a share of its maximum."""

    gpu_celsius: int | None = None
    memory_celsius: int | None = None
    fan_ratio: float | None = None


class ClockReading(Value, frozen=True):
    """Clocks in hertz, and why they are not higher (`reasons`, NVML's clock-event reasons)."""

    sm_hertz: float | None = None
    memory_hertz: float | None = None
    graphics_hertz: float | None = None
    video_hertz: float | None = None
    performance_state: int | None = None
    reasons: tuple[str, ...] | None = None


class ThrottleReading(Value, frozen=True):
    """Seconds for which each reason has held the clocks down, as the driver counts them.

    `thermal_seconds` is told only where software's and hardware's part are not told apart.
    """

    sw_power_cap_seconds: float | None = None
    sync_boost_seconds: float | None = None
    sw_thermal_seconds: float | None = None
    hw_thermal_seconds: float | None = None
    hw_power_brake_seconds: float | None = None
    thermal_seconds: float | None = None
    board_limit_seconds: float | None = None
    low_utilization_seconds: float | None = None
    reliability_seconds: float | None = None


class PcieReading(Value, frozen=True):
    """The PCIe link: current generation and width, throughput in bytes per second, replays."""

    generation: int | None = None
    width: int | None = None
    transmit_bytes_per_second: float | None = None
    receive_bytes_per_second: float | None = None
    replays: int | None = None


class NvLink(Value, frozen=True):
    """One link: whether it is up, and what went over it since the driver was loaded."""

    link: int
    active: bool | None = None
    transmit_bytes: int | None = None
    receive_bytes: int | None = None


class NvLinkReading(Value, frozen=True):
    """NVLink of the whole device: active links, cumulative data and errors; then link by link."""

    links_active: int | None = None
    links_total: int | None = None
    transmit_bytes: int | None = None
    receive_bytes: int | None = None
    replay_errors: int | None = None
    recovery_errors: int | None = None
    crc_errors: int | None = None
    links: tuple[NvLink, ...] = ()


class HealthReading(Value, frozen=True):
    """ECC, row remapping, retired pages and what the driver itself recommends (`recovery_action`)."""

    ecc_enabled: bool | None = None
    ecc_corrected_volatile: int | None = None
    ecc_uncorrected_volatile: int | None = None
    ecc_corrected_aggregate: int | None = None
    ecc_uncorrected_aggregate: int | None = None
    remapped_corrected_rows: int | None = None
    remapped_uncorrected_rows: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    retired_pages: int | None = None
    retired_pages_pending: bool | None = None
    recovery_action: str | None = None
    persistence_mode: bool | None = None
    compute_mode: str | None = None  # "default", "prohibited" or "exclusive process"
    fabric_state: str | None = None  # "not started", "in progress" or "completed"; None: no fabric
    display_active: bool | None = None


class GpmReading(Value, frozen=True):
    """GPU performance monitoring (Hopper and newer): shares of time, 0 to 1, between two samples."""

    sm_active_ratio: float | None = None
    sm_occupancy_ratio: float | None = None
    tensor_active_ratio: float | None = None
    dram_active_ratio: float | None = None
    fp64_active_ratio: float | None = None
    fp32_active_ratio: float | None = None
    fp16_active_ratio: float | None = None
    integer_active_ratio: float | None = None
    graphics_active_ratio: float | None = None


class MigInstance(Value, frozen=True):
    """One MIG device of a GPU."""

    uuid: str
    gpu_instance: int
    compute_instance: int
    name: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    slices: int | None = None


class MigReading(Value, frozen=True):
    """MIG mode and the instances that exist. `enabled` is None where MIG is not known."""

    enabled: bool | None = None
    instances: tuple[MigInstance, ...] = ()
    enabled_after_reset: bool | None = None

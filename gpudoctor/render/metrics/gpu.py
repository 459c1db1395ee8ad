"""Metrics of one GPU: how busy, how full, how hot, how fast.

Base units, ratios from 0 to 1, `_total` on what only grows.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.render.metrics.make import gpu, gpu_by, gpu_total
from gpudoctor.render.metrics.view import Metric, MetricGroup, Sample, View

# NVML's clock-event reasons; one that is not in force is 0, so that a graph has a line to show.
CLOCK_EVENT_REASONS: tuple[str, ...] = (
    "idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "display_clock_setting",
)


def _reasons(view: View) -> Iterator[Sample]:
    for device in view.answering():
        held = device.clocks.reasons
        if held is not None:
            for reason in dict.fromkeys(CLOCK_EVENT_REASONS + held):
                yield (device.uuid, reason), reason in held


UTILIZATION = MetricGroup(
    "Utilisation",
    (
        gpu(
            "utilization_ratio",
            "Share of time in which any kernel ran on the GPU. Not given in MIG mode.",
            lambda it: it.utilization.gpu_ratio,
        ),
        gpu(
            "memory_utilization_ratio",
            "Share of time in which the GPU's memory was read or written.",
            lambda it: it.utilization.memory_ratio,
        ),
        gpu(
            "encoder_utilization_ratio",
            "Share of time in which the video encoder was busy.",
            lambda it: it.utilization.encoder_ratio,
        ),
        gpu(
            "decoder_utilization_ratio",
            "Share of time in which the video decoder was busy.",
            lambda it: it.utilization.decoder_ratio,
        ),
        gpu(
            "sm_active_ratio",
            "Share of time in which an SM had at least one warp, averaged over SMs (GPM, Hopper+).",
            lambda it: it.gpm.sm_active_ratio,
        ),
        gpu(
            "sm_occupancy_ratio",
            "Resident warps as a share of the most that the SMs can hold (GPM, Hopper+).",
            lambda it: it.gpm.sm_occupancy_ratio,
        ),
        gpu_by(
            "pipe_active_ratio",
            "Share of time in which a pipe of the SMs was busy (GPM, Hopper+).",
            "pipe",
            {
                "tensor": lambda it: it.gpm.tensor_active_ratio,
                "fp64": lambda it: it.gpm.fp64_active_ratio,
                "fp32": lambda it: it.gpm.fp32_active_ratio,
                "fp16": lambda it: it.gpm.fp16_active_ratio,
                "integer": lambda it: it.gpm.integer_active_ratio,
            },
        ),
        gpu(
            "graphics_engine_active_ratio",
            "Share of time in which the graphics or compute engine was busy (GPM, Hopper+).",
            lambda it: it.gpm.graphics_active_ratio,
        ),
        gpu(
            "dram_active_ratio",
            "Used share of the memory's bandwidth (GPM, Hopper+).",
            lambda it: it.gpm.dram_active_ratio,
        ),
    ),
)

MEMORY = MetricGroup(
    "Memory",
    (
        gpu(
            "memory_total_bytes",
            "Frame buffer of the GPU.",
            lambda it: (
                it.facts.memory_total_bytes
                if it.memory.total_bytes is None
                else it.memory.total_bytes
            ),
        ),
        gpu("memory_used_bytes", "Frame buffer in use.", lambda it: it.memory.used_bytes),
        gpu("memory_free_bytes", "Frame buffer that is free.", lambda it: it.memory.free_bytes),
        gpu(
            "memory_reserved_bytes",
            "Frame buffer that the driver keeps for itself (driver 510 and newer).",
            lambda it: it.memory.reserved_bytes,
        ),
        gpu(
            "bar1_used_bytes",
            "BAR1 memory, through which the CPU and other devices reach the GPU's, in use.",
            lambda it: it.memory.bar1_used_bytes,
        ),
        gpu("bar1_total_bytes", "Size of BAR1 memory.", lambda it: it.memory.bar1_total_bytes),
    ),
)

POWER = MetricGroup(
    "Power, temperature and clocks",
    (
        gpu("power_usage_watts", "Power drawn by the board.", lambda it: it.power.usage_watts),
        gpu("power_limit_watts", "Enforced power limit.", lambda it: it.power.limit_watts),
        gpu(
            "power_limit_default_watts",
            "Power limit as the board was made.",
            lambda it: it.facts.power_limit_default_watts,
        ),
        gpu(
            "power_limit_max_watts",
            "Highest power limit that can be set.",
            lambda it: it.facts.power_limit_max_watts,
        ),
        gpu_total(
            "energy_joules_total",
            "Energy used since the driver was loaded (Volta and newer).",
            lambda it: it.power.energy_joules,
        ),
        gpu("temperature_celsius", "GPU temperature.", lambda it: it.thermal.gpu_celsius),
        gpu(
            "memory_temperature_celsius",
            "Memory temperature, where the board has a sensor.",
            lambda it: it.thermal.memory_celsius,
        ),
        gpu(
            "temperature_slowdown_celsius",
            "GPU temperature at which the hardware slows the clocks down.",
            lambda it: it.facts.temperature_slowdown_celsius,
        ),
        gpu(
            "temperature_shutdown_celsius",
            "GPU temperature at which the board switches itself off.",
            lambda it: it.facts.temperature_shutdown_celsius,
        ),
        gpu(
            "memory_temperature_max_celsius",
            "Memory temperature at which the hardware slows the clocks down.",
            lambda it: it.facts.temperature_memory_max_celsius,
        ),
        gpu("fan_ratio", "Fan speed as a share of its maximum.", lambda it: it.thermal.fan_ratio),
        gpu_by(
            "clock_hertz",
            "Current clocks.",
            "clock",
            {
                "sm": lambda it: it.clocks.sm_hertz,
                "memory": lambda it: it.clocks.memory_hertz,
                "graphics": lambda it: it.clocks.graphics_hertz,
                "video": lambda it: it.clocks.video_hertz,
            },
        ),
        gpu_by(
            "clock_max_hertz",
            "Highest clocks of the GPU.",
            "clock",
            {
                "sm": lambda it: it.facts.sm_clock_max_hertz,
                "memory": lambda it: it.facts.memory_clock_max_hertz,
            },
        ),
        Metric(
            "gpudoctor_gpu_clock_event_reason",
            "gauge",
            "1 for each of NVML's clock-event reasons that holds the clocks down now, else 0.",
            ("uuid", "reason"),
            _reasons,
        ),
        gpu_by(
            "clock_event_seconds_total",
            "Time for which a reason has held the clocks down, as the driver counts it, also between"
            " samples. thermal is told where it is not split into software's and hardware's.",
            "reason",
            {
                "sw_power_cap": lambda it: it.throttle.sw_power_cap_seconds,
                "sw_thermal_slowdown": lambda it: it.throttle.sw_thermal_seconds,
                "hw_thermal_slowdown": lambda it: it.throttle.hw_thermal_seconds,
                "hw_power_brake_slowdown": lambda it: it.throttle.hw_power_brake_seconds,
                "sync_boost": lambda it: it.throttle.sync_boost_seconds,
                "thermal": lambda it: it.throttle.thermal_seconds,
                "board_limit": lambda it: it.throttle.board_limit_seconds,
                "low_utilization": lambda it: it.throttle.low_utilization_seconds,
                "reliability": lambda it: it.throttle.reliability_seconds,
            },
            "counter",
        ),
        gpu(
            "performance_state",
            "Performance state: 0 is the fastest, 15 the slowest.",
            lambda it: it.clocks.performance_state,
        ),
    ),
)

"""One machine: its GPUs side by side."""

from __future__ import annotations

from tools.dashboards.fleet import HOT, MEMORY_SHARE, ZERO_IS_GOOD
from tools.dashboards.parts import (
    HERE,
    INSTANCE,
    Column,
    Json,
    Query,
    dashboard,
    graph,
    joined,
    of_gpu,
    row,
    stat,
    table,
)

SLOWED = 'reason=~"sw_power_cap|hw_slowdown|sw_thermal_slowdown|hw_thermal_slowdown|hw_power_brake_slowdown"'


def overview() -> list[Json]:
    """The numbers at the top."""
    return [
        stat("GPUs", "none", f"count(gpudoctor_gpu_info{HERE})", width=3),
        stat(
            "Not answering",
            "none",
            f"sum(1 - gpudoctor_gpu_up{HERE})",
            text="GPUs that gave no answer in time, or fell off the bus.",
            width=3,
            thresholds=ZERO_IS_GOOD,
        ),
        stat(
            "Driver",
            "none",
            f"gpudoctor_driver_info{HERE}",
            width=3,
            legend="{{version}}",
            named=True,
        ),
        stat("Utilisation", "percentunit", f"avg(gpudoctor_gpu_utilization_ratio{HERE})", width=3),
        stat("Memory used", "percentunit", MEMORY_SHARE, width=3),
        stat("Power", "watt", f"sum(gpudoctor_gpu_power_usage_watts{HERE})", width=3),
        stat(
            "Energy",
            "kwatth",
            f"sum(increase(gpudoctor_gpu_energy_joules_total{HERE}[$__range])) / 3.6e6",
            text="Used in the time that is shown.",
            width=3,
        ),
        stat(
            "Sampled",
            "s",
            f"time() - gpudoctor_sample_timestamp_seconds{HERE}",
            text="How long ago the daemon took its last sample.",
            width=3,
        ),
    ]


def gpus() -> list[Json]:
    """The GPUs' curves."""
    return [
        row("GPUs"),
        graph(
            "Utilisation",
            "percentunit",
            Query(of_gpu("gpudoctor_gpu_utilization_ratio")),
            text="Share of time in which any kernel ran. Full says nothing of how well it ran.",
            limits=(0, 1),
        ),
        graph(
            "SM activity",
            "percentunit",
            Query(of_gpu("gpudoctor_gpu_sm_active_ratio")),
            text="Share of time in which the SMs had work, averaged over SMs. Hopper and newer.",
            limits=(0, 1),
        ),
        graph("Memory used", "bytes", Query(of_gpu("gpudoctor_gpu_memory_used_bytes"))),
        graph("Power", "watt", Query(of_gpu("gpudoctor_gpu_power_usage_watts"))),
        graph(
            "Temperature",
            "celsius",
            Query(of_gpu("gpudoctor_gpu_temperature_celsius")),
            limits=(None, None),
            thresholds=HOT,
        ),
        graph(
            "Memory temperature",
            "celsius",
            Query(of_gpu("gpudoctor_gpu_memory_temperature_celsius")),
            limits=(None, None),
        ),
        graph("SM clock", "hertz", Query(of_gpu("gpudoctor_gpu_clock_hertz", 'clock="sm"'))),
        graph(
            "Slowed down",
            "percentunit",
            Query(
                joined(
                    "avg_over_time(gpudoctor_gpu_clock_event_reason"
                    f'{{instance=~"$instance",{SLOWED}}}[$__rate_interval])'
                ),
                "GPU {{index}} {{reason}}",
            ),
            text="Share of samples in which this reason held the clocks down. hw_ is a matter of the"
            " hardware: cooling or power supply.",
            limits=(0, 1),
        ),
        graph(
            "Slowed down, as the driver counts it",
            "percentunit",
            Query(
                joined(
                    f"rate(gpudoctor_gpu_clock_event_seconds_total{HERE}[$__rate_interval])",
                ),
                "GPU {{index}} {{reason}}",
            ),
            text="Share of time, with what happens between samples. low_utilization is no fault.",
            limits=(0, 1),
        ),
        graph(
            "Memory that no listed process holds",
            "bytes",
            Query(of_gpu("gpudoctor_gpu_unlisted_memory_bytes")),
            text="A little is the driver's own; much of it belongs to other containers or to nobody.",
        ),
        graph(
            "PCIe, received",
            "Bps",
            Query(of_gpu("gpudoctor_gpu_pcie_receive_bytes_per_second")),
        ),
        graph(
            "NVLink, sent",
            "Bps",
            Query(
                joined(f"rate(gpudoctor_gpu_nvlink_transmit_bytes_total{HERE}[$__rate_interval])")
            ),
        ),
    ]


def users() -> list[Json]:
    """Who uses the machine."""
    return [
        row("Users"),
        graph(
            "Memory by user",
            "bytes",
            Query(f"sum by (user) (gpudoctor_user_memory_used_bytes{HERE})", "{{user}}"),
            stacked=True,
        ),
        graph(
            "Processes", "none", Query(of_gpu("gpudoctor_gpu_processes"), "GPU {{index}} {{kind}}")
        ),
    ]


def host() -> list[Json]:
    """The machine around the GPUs, and the daemon."""
    return [
        row("Host and daemon"),
        table(
            "Python and torch",
            Column("is", "none", f"gpudoctor_environment_info{HERE}"),
            text="The daemon's default interpreter and the torch in its folders, with the CUDA that it was"
            " built for. Other environments of the machine are not looked at.",
            width=12,
            height=4,
            hidden=("is",),
            nothing="No interpreter was looked at.",
        ),
        table(
            "gpudoctor",
            Column("is", "none", f"gpudoctor_build_info{HERE}"),
            text="The daemon itself. source is nvml; demo or replay is no real machine.",
            width=12,
            height=4,
            hidden=("is",),
        ),
        graph(
            "CPU", "percentunit", Query(f"gpudoctor_host_cpu_ratio{HERE}", "busy"), limits=(0, 1)
        ),
        graph(
            "Memory",
            "bytes",
            Query(f"gpudoctor_host_memory_used_bytes{HERE}", "used"),
            Query(f"gpudoctor_host_memory_total_bytes{HERE}", "total"),
        ),
        graph(
            "Samples",
            "s",
            Query(f"gpudoctor_sample_duration_seconds{HERE}", "whole sample"),
            Query(f"gpudoctor_collector_duration_seconds{HERE}", "{{collector}}"),
            text="How long looking takes. A collector that takes long is a driver that answers slowly.",
        ),
        graph(
            "Failed readings",
            "cps",
            Query(
                f"sum by (collector) (rate(gpudoctor_collector_errors_total{HERE}[$__rate_interval]))",
                "{{collector}}",
            ),
            text="Readings that the driver refused or was too slow for. Zero on a healthy machine.",
        ),
        graph(
            "Notifications",
            "cps",
            Query(
                f"sum by (target, outcome)"
                f" (rate(gpudoctor_notifications_total{HERE}[$__rate_interval]))",
                "{{target}} {{outcome}}",
            ),
            text="What was told to the webhook and the command of the settings, and what was lost.",
        ),
        graph(
            "Series",
            "none",
            Query(f"gpudoctor_series{HERE}", "series"),
            text="What this machine costs Prometheus. It grows with users, jobs and --processes.",
        ),
        graph(
            "The daemon's CPU time",
            "percentunit",
            Query(
                'rate(process_cpu_seconds_total{instance=~"$instance"}[$__rate_interval])'
                f" and on (instance) gpudoctor_build_info{HERE}",
                "of one CPU",
            ),
        ),
        graph(
            "The daemon's memory",
            "bytes",
            Query(
                'process_resident_memory_bytes{instance=~"$instance"}'
                f" and on (instance) gpudoctor_build_info{HERE}",
                "resident",
            ),
        ),
    ]


def build() -> Json:
    """The dashboard."""
    return dashboard(
        "gpudoctor-machine",
        "GPUs: one machine",
        "The GPUs of one machine side by side, their users, and the daemon that watches them.",
        [INSTANCE],
        [*overview(), *gpus(), *users(), *host()],
    )

"""One GPU in depth."""

from __future__ import annotations

from tools.dashboards.fleet import ZERO_IS_GOOD
from tools.dashboards.parts import (
    INSTANCE,
    Column,
    Json,
    Query,
    dashboard,
    graph,
    row,
    stat,
    table,
    variable,
)

THIS = '{instance=~"$instance",uuid=~"$gpu"}'
GPU = variable(
    "gpu",
    "GPU",
    'query_result(gpudoctor_gpu_info{instance=~"$instance"})',
    several=False,
) | {"regex": '/index="(?<text>[^"]+)".*uuid="(?<value>[^"]+)"/'}


def one(metric: str, legend: str, more: str = "") -> Query:
    """A reading of this GPU."""
    return Query(f"gpudoctor_gpu_{metric}{THIS[:-1]}{',' + more if more else ''}}}", legend)


def rate(metric: str, legend: str) -> Query:
    """How fast a counter of this GPU grows."""
    return Query(f"rate(gpudoctor_gpu_{metric}{THIS}[$__rate_interval])", legend)


def overview() -> list[Json]:
    """The numbers at the top."""
    return [
        stat("Model", "none", f"gpudoctor_gpu_info{THIS}", width=6, legend="{{name}}", named=True),
        stat(
            "State",
            "none",
            f"gpudoctor_gpu_state_info{THIS}",
            legend="{{state}}",
            text="failed: some readings fail; stale: no answer in time; lost: off the bus.",
            named=True,
            width=3,
        ),
        stat(
            "Driver recommends",
            "none",
            f"gpudoctor_gpu_recovery_action_info{THIS}",
            legend="{{action}}",
            text="What the driver itself wants done to recover the GPU: none, or a reset or a reboot.",
            named=True,
            width=3,
        ),
        stat("Processes", "none", f"sum(gpudoctor_gpu_processes{THIS})", width=3),
        stat(
            "Uncorrected errors",
            "none",
            f'sum(gpudoctor_gpu_ecc_volatile_errors_total{THIS[:-1]},error="uncorrected"}})',
            text="Memory errors since the driver was loaded.",
            thresholds=ZERO_IS_GOOD,
            width=3,
        ),
        stat(
            "Row remap failed",
            "none",
            f"gpudoctor_gpu_row_remap_failed{THIS}",
            text="1: a broken row of memory could not be replaced, and the board needs its vendor.",
            thresholds=ZERO_IS_GOOD,
            width=3,
        ),
        stat(
            "Row remap pending",
            "none",
            f"gpudoctor_gpu_row_remap_pending{THIS}",
            text="A reset of the GPU replaces the row.",
            thresholds=ZERO_IS_GOOD,
            width=3,
        ),
    ]


def work() -> list[Json]:
    """How busy, and with what."""
    return [
        row("Work"),
        graph(
            "Busy",
            "percentunit",
            one("utilization_ratio", "any kernel"),
            one("sm_active_ratio", "SMs active"),
            one("sm_occupancy_ratio", "SM occupancy"),
            one("dram_active_ratio", "memory bandwidth"),
            text="Any kernel high and SMs active low: kernels that fill only a part of the GPU.",
            limits=(0, 1),
        ),
        graph(
            "Pipes",
            "percentunit",
            one("pipe_active_ratio", "{{pipe}}"),
            text="Matrix work in half precision shows on the tensor pipe.",
            limits=(0, 1),
        ),
        graph(
            "Memory",
            "bytes",
            one("memory_used_bytes", "used"),
            one("memory_reserved_bytes", "reserved by the driver"),
            one("memory_total_bytes", "total"),
        ),
        graph(
            "Video engines",
            "percentunit",
            one("encoder_utilization_ratio", "encoder"),
            one("decoder_utilization_ratio", "decoder"),
            limits=(0, 1),
        ),
    ]


def heat() -> list[Json]:
    """Power, temperature, clocks."""
    return [
        row("Power, temperature, clocks"),
        graph("Power", "watt", one("power_usage_watts", "used"), one("power_limit_watts", "limit")),
        graph(
            "Temperature",
            "celsius",
            one("temperature_celsius", "GPU"),
            one("memory_temperature_celsius", "memory"),
            one("temperature_slowdown_celsius", "slows down at"),
            one("memory_temperature_max_celsius", "memory slows down at"),
            limits=(None, None),
        ),
        graph("Clocks", "hertz", one("clock_hertz", "{{clock}}")),
        graph(
            "What holds the clocks down",
            "percentunit",
            Query(
                f"avg_over_time(gpudoctor_gpu_clock_event_reason{THIS}[$__rate_interval])",
                "{{reason}}",
            ),
            text="Share of samples. gpu_idle and applications_clocks_setting are no fault, sw_power_cap is"
            " the power limit at work; hw_ is a matter of cooling or power supply.",
            limits=(0, 1),
        ),
        graph(
            "What held the clocks down, as the driver counts it",
            "percentunit",
            rate("clock_event_seconds_total", "{{reason}}"),
            text="Share of time, with what happens between samples.",
            limits=(0, 1),
        ),
    ]


def links() -> list[Json]:
    """PCIe and NVLink."""
    return [
        row("Links"),
        graph(
            "PCIe",
            "Bps",
            one("pcie_receive_bytes_per_second", "received"),
            one("pcie_transmit_bytes_per_second", "sent"),
        ),
        graph(
            "NVLink",
            "Bps",
            rate("nvlink_receive_bytes_total", "received"),
            rate("nvlink_transmit_bytes_total", "sent"),
        ),
        graph(
            "PCIe link",
            "none",
            one("pcie_generation", "generation"),
            one("pcie_generation_max", "generation, at most"),
            one("pcie_width", "lanes"),
            one("pcie_width_max", "lanes, at most"),
            text="An idle GPU lowers its generation; lanes that are missing under load are a fault.",
        ),
        graph(
            "Link errors",
            "cps",
            rate("pcie_replays_total", "PCIe replays"),
            rate("nvlink_errors_total", "NVLink {{error}}"),
            text="PCIe packets that were sent again, and NVLink's errors by their kind.",
        ),
    ]


def health() -> list[Json]:
    """Errors."""
    return [
        row("Health"),
        graph(
            "Memory errors in its life",
            "none",
            one("ecc_aggregate_errors_total", "ECC {{error}}"),
            one("remapped_rows", "rows replaced after {{error}} errors"),
            text="Since the board was made. A step up is news, the height is not.",
        ),
        table(
            "Xids",
            Column("times", "none", f"gpudoctor_gpu_xid_errors_total{THIS}"),
            Column(
                "last", "dateTimeAsIso", f"1000 * gpudoctor_gpu_xid_last_timestamp_seconds{THIS}"
            ),
            width=12,
            text="Since the daemon was started. docs/serve.md tells where they come from; `gpudoctor history"
            " --events` on the machine says what they mean.",
            hidden=("instance", "uuid"),
            nothing="No Xid was reported.",
        ),
        table(
            "Users",
            Column("memory", "bytes", f"gpudoctor_user_memory_used_bytes{THIS}"),
            Column("processes", "none", f"gpudoctor_user_processes{THIS}"),
            width=12,
            hidden=("instance", "uuid"),
            nothing="Nobody uses this GPU.",
        ),
        table(
            "Processes",
            Column("memory", "bytes", f"gpudoctor_process_memory_used_bytes{THIS}"),
            Column("SMs", "percentunit", f"gpudoctor_process_sm_ratio{THIS}"),
            text="Only where the daemon was started with --processes.",
            width=12,
            hidden=("instance", "uuid"),
            nothing="No process, or the daemon runs without --processes.",
        ),
        table(
            "MIG instances",
            Column("used", "bytes", f"gpudoctor_mig_instance_memory_used_bytes{THIS}"),
            Column("total", "bytes", f"gpudoctor_mig_instance_memory_total_bytes{THIS}"),
            hidden=("instance", "uuid"),
            nothing="The GPU is not divided.",
        ),
    ]


def build() -> Json:
    """The dashboard."""
    return dashboard(
        "gpudoctor-gpu",
        "GPUs: one GPU",
        "One GPU in depth: its work, heat, links, errors and users.",
        [INSTANCE, GPU],
        [*overview(), *work(), *heat(), *links(), *health()],
    )

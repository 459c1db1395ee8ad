"""All machines at a glance: what is sick, what is idle, what is busy."""

from __future__ import annotations

from tools.dashboards.parts import (
    GREEN,
    HERE,
    IDLE,
    INSTANCES,
    ORANGE,
    RED,
    Column,
    Json,
    Query,
    dashboard,
    graph,
    row,
    stat,
    steps,
    table,
)

ZERO_IS_GOOD = steps((None, GREEN), (1, RED))
HOT = steps((None, GREEN), (80, ORANGE), (87, RED))
MACHINE = "/d/gpudoctor-machine?var-instance=${__data.fields.instance}"
MEMORY_SHARE = (
    f"sum by (instance) (gpudoctor_gpu_memory_used_bytes{HERE})"
    f" / sum by (instance) (gpudoctor_gpu_memory_total_bytes{HERE})"
)
# Held: more than a twentieth of the memory; a driver and a desktop alone need less.
IDLE_GPUS = (
    f"(gpudoctor_gpu_memory_used_bytes{HERE} / gpudoctor_gpu_memory_total_bytes{HERE} > 0.05)"
    f" and on (instance, uuid) (max_over_time(gpudoctor_gpu_utilization_ratio{HERE}[$idle]) < 0.01)"
)
# 1 for a machine that answers, 0 for one that was seen within a day and does not now.
ANSWERS = (
    f"sum by (instance) (gpudoctor_sampling_up{HERE})"
    f" or 0 * sum by (instance) (max_over_time(gpudoctor_sampling_up{HERE}[1d]))"
)


def overview() -> list[Json]:
    """The numbers at the top."""
    return [
        stat(
            "Machines",
            "none",
            f"sum(gpudoctor_sampling_up{HERE})",
            text="Machines that answer.",
            width=2,
        ),
        stat(
            "Silent",
            "none",
            f"count(({ANSWERS}) == 0) or vector(0)",
            text="Machines that were seen within a day and do not answer now, or whose daemon gets no"
            " samples.",
            width=2,
            thresholds=ZERO_IS_GOOD,
        ),
        stat("GPUs", "none", f"count(gpudoctor_gpu_info{HERE})", width=2),
        stat(
            "GPUs not answering",
            "none",
            f"sum(1 - gpudoctor_gpu_up{HERE})",
            text="GPUs that gave no answer in time, or fell off the bus.",
            width=3,
            thresholds=ZERO_IS_GOOD,
        ),
        stat("Utilisation", "percentunit", f"avg(gpudoctor_gpu_utilization_ratio{HERE})", width=3),
        stat(
            "Memory used",
            "percentunit",
            f"sum(gpudoctor_gpu_memory_used_bytes{HERE}) / sum(gpudoctor_gpu_memory_total_bytes{HERE})",
            width=3,
        ),
        stat("Power", "watt", f"sum(gpudoctor_gpu_power_usage_watts{HERE})", width=3),
        stat(
            "Held but idle",
            "none",
            f"count({IDLE_GPUS}) or vector(0)",
            text="GPUs whose memory is held while no kernel ran for as long as chosen above.",
            width=3,
            thresholds=steps((None, GREEN), (1, ORANGE)),
        ),
        stat(
            "Left over",
            "none",
            f"sum(gpudoctor_orphans{HERE})",
            text="Processes that hold GPU memory and that nobody seems to wait for any more.",
            width=3,
            thresholds=steps((None, GREEN), (1, ORANGE)),
        ),
    ]


def sick() -> list[Json]:
    """What needs somebody."""
    return [
        row("What needs attention"),
        table(
            "Alerts",
            Column(
                "is", "none", 'ALERTS{alertname=~"Gpu.*",alertstate="firing",instance=~"$instance"}'
            ),
            text="What Prometheus raises by the rules in alerts/gpudoctor.yml, which have to be loaded.",
            hidden=("is", "alertstate"),
            nothing="No alert is raised.",
        ),
        table(
            "GPUs that are not well",
            Column("is", "none", 'gpudoctor_gpu_state_info{instance=~"$instance",state!="ok"}'),
            text="failed: some readings fail; stale: no answer in time; lost: off the bus.",
            width=12,
            hidden=("is",),
            nothing="All GPUs answer.",
        ),
        table(
            "What the driver recommends",
            Column(
                "is",
                "none",
                'gpudoctor_gpu_recovery_action_info{instance=~"$instance",action!="none"}',
            ),
            text="What the driver itself wants done to recover a GPU: a reset or a reboot.",
            width=12,
            hidden=("is",),
            nothing="The driver recommends nothing.",
        ),
        table(
            "Findings of the checks",
            Column("findings", "none", f"gpudoctor_findings{HERE}"),
            text="`gpudoctor check` on the machine shows the evidence and the fix.",
            width=12,
            nothing="The checks found nothing.",
        ),
        table(
            "Xids of the last day",
            Column(
                "last",
                "dateTimeAsIso",
                f"1000 * (gpudoctor_gpu_xid_last_timestamp_seconds{HERE} > time() - 86400)",
            ),
            text="Error codes of the driver; `gpudoctor history --events` on the machine says what they"
            " mean.",
            width=12,
            nothing="No Xid was reported.",
        ),
    ]


def machines() -> list[Json]:
    """One row for each machine, and their curves."""
    by = "by (instance)"
    each = "{{instance}}"
    return [
        row("Machines"),
        table(
            "Machines",
            Column("GPUs", "none", f"count {by} (gpudoctor_gpu_info{HERE})", link=MACHINE),
            Column("answers", "none", ANSWERS, thresholds=steps((None, RED), (1, GREEN))),
            Column(
                "not answering",
                "none",
                f"sum {by} (1 - gpudoctor_gpu_up{HERE})",
                thresholds=ZERO_IS_GOOD,
            ),
            Column(
                "utilisation", "percentunit", f"avg {by} (gpudoctor_gpu_utilization_ratio{HERE})"
            ),
            Column("memory", "percentunit", MEMORY_SHARE),
            Column("power", "watt", f"sum {by} (gpudoctor_gpu_power_usage_watts{HERE})"),
            Column(
                "hottest",
                "celsius",
                f"max {by} (gpudoctor_gpu_temperature_celsius{HERE})",
                thresholds=HOT,
            ),
            Column("processes", "none", f"sum {by} (gpudoctor_gpu_processes{HERE})"),
            Column("sampled ago", "s", f"time() - gpudoctor_sample_timestamp_seconds{HERE}"),
            text="answers: 1, or 0 for a machine that was seen within a day and is silent now.",
        ),
        graph(
            "Utilisation",
            "percentunit",
            Query(f"avg {by} (gpudoctor_gpu_utilization_ratio{HERE})", each),
            limits=(0, 1),
        ),
        graph("Memory used", "percentunit", Query(MEMORY_SHARE, each), limits=(0, 1)),
        graph("Power", "watt", Query(f"sum {by} (gpudoctor_gpu_power_usage_watts{HERE})", each)),
        graph(
            "Hottest GPU",
            "celsius",
            Query(f"max {by} (gpudoctor_gpu_temperature_celsius{HERE})", each),
            limits=(None, None),
        ),
    ]


def build() -> Json:
    """The dashboard."""
    return dashboard(
        "gpudoctor-fleet",
        "GPUs: all machines",
        "What is sick, what is idle and what is busy, over all machines.",
        [INSTANCES, IDLE],
        [*overview(), *sick(), *machines()],
    )

"""Who holds the GPUs, and what is wasted."""

from __future__ import annotations

from tools.dashboards.parts import (
    GREEN,
    HERE,
    IDLE,
    INSTANCES,
    ORANGE,
    Column,
    Json,
    Query,
    dashboard,
    graph,
    row,
    stat,
    steps,
    table,
    text_box,
)

UNUSED = (
    f"gpudoctor_user_memory_used_bytes{HERE} and on (instance, uuid)"
    f" (max_over_time(gpudoctor_gpu_utilization_ratio{HERE}[$idle]) < 0.01)"
)
ENERGY = f"sum(increase(gpudoctor_gpu_energy_joules_total{HERE}[$__range])) / 3.6e6"


def overview() -> list[Json]:
    """The numbers at the top."""
    some = steps((None, GREEN), (1, ORANGE))
    return [
        stat("Users", "none", f"count(count by (user) (gpudoctor_user_processes{HERE}))", width=3),
        stat("Memory held", "bytes", f"sum(gpudoctor_user_memory_used_bytes{HERE})", width=4),
        stat(
            "Held on idle GPUs",
            "bytes",
            f"sum({UNUSED}) or vector(0)",
            text="Memory on GPUs on which no kernel ran for as long as chosen above.",
            width=4,
            thresholds=some,
        ),
        stat(
            "Held by what is left over",
            "bytes",
            f"sum(gpudoctor_orphans_memory_bytes{HERE})",
            text="By orphans and suspects; `gpudoctor orphans` on the machine names them.",
            width=4,
            thresholds=some,
        ),
        stat(
            "GPUs nobody uses",
            "none",
            f"count(sum by (instance, uuid) (gpudoctor_gpu_processes{HERE}) == 0) or vector(0)",
            width=3,
        ),
        stat("Energy", "kwatth", ENERGY, text="In the time that is shown.", width=3),
        stat(
            "Cost of energy",
            "none",
            f"{ENERGY} * $price",
            text="At the price for one kWh that is chosen above; GPUs alone.",
            width=3,
        ),
    ]


def who() -> list[Json]:
    """By user."""
    return [
        row("Users"),
        table(
            "Users",
            Column("memory", "bytes", f"sum by (user) (gpudoctor_user_memory_used_bytes{HERE})"),
            Column("of it on idle GPUs", "bytes", f"sum by (user) ({UNUSED})"),
            Column("GPUs", "none", f"count by (user) (gpudoctor_user_processes{HERE})"),
            Column("processes", "none", f"sum by (user) (gpudoctor_user_processes{HERE})"),
        ),
        graph(
            "Memory held",
            "bytes",
            Query(f"sum by (user) (gpudoctor_user_memory_used_bytes{HERE})", "{{user}}"),
            stacked=True,
        ),
        graph(
            "GPUs held",
            "none",
            Query(f"count by (user) (gpudoctor_user_processes{HERE})", "{{user}}"),
            stacked=True,
        ),
        graph(
            "Memory held on idle GPUs",
            "bytes",
            Query(f"sum by (user) ({UNUSED})", "{{user}}"),
            stacked=True,
        ),
        graph(
            "Left over",
            "bytes",
            Query(
                f"sum by (instance, verdict) (gpudoctor_orphans_memory_bytes{HERE})",
                "{{instance}} {{verdict}}",
            ),
            text="GPU memory held by processes that nobody seems to wait for any more.",
            stacked=True,
        ),
        graph(
            "Utilisation of the GPUs that somebody holds",
            "percentunit",
            Query(
                f"avg(gpudoctor_gpu_utilization_ratio{HERE} and on (instance, uuid)"
                f" (sum by (instance, uuid) (gpudoctor_gpu_processes{HERE}) > 0))",
                "mean",
            ),
            limits=(0, 1),
        ),
    ]


def build() -> Json:
    """The dashboard."""
    return dashboard(
        "gpudoctor-users",
        "GPUs: users and waste",
        "Who holds which memory, what of it lies idle, and what it costs.",
        [INSTANCES, IDLE, text_box("price", "Price of one kWh", "0.30")],
        [*overview(), *who()],
    )

"""Who holds the GPUs, and what is wasted."""

from __future__ import annotations

from tools.dashboards import runs
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
# What a GPU draws counts for each of those that are on it, so shared GPUs count more than once.
DRAWN = f"gpudoctor_gpu_power_usage_watts{HERE} * on (instance, uuid) group_right ()"
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
            text="GPUs without any process: free to be given to somebody.",
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
            text="On GPUs on which no kernel ran for as long as chosen above.",
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
            text="Low while memory is full: GPUs that are held and not worked on.",
            limits=(0, 1),
        ),
    ]


def drawn(kind: str, label: str) -> str:
    """The power of the GPUs that each one of a kind is on, in watts."""
    on = f"count by (instance, uuid, {label}) (gpudoctor_{kind}_processes{HERE})"
    return f"sum by ({label}) ({DRAWN} {on})"


def busy(kind: str, label: str) -> str:
    """The mean utilisation of the GPUs that each one of a kind is on."""
    on = f"count by (instance, uuid, {label}) (gpudoctor_{kind}_processes{HERE})"
    return (
        f"avg by ({label}) (gpudoctor_gpu_utilization_ratio{HERE}"
        f" * on (instance, uuid) group_right () {on})"
    )


def held_by(title: str, kind: str, label: str) -> Json:
    """A table of jobs, pods or containers."""
    memory, processes = (
        f"gpudoctor_{kind}_{what}{HERE}" for what in ("memory_used_bytes", "processes")
    )
    return table(
        title,
        Column("memory", "bytes", f"sum by ({label}) ({memory})"),
        Column("GPUs", "none", f"count by ({label}) ({processes})"),
        Column("processes", "none", f"sum by ({label}) ({processes})"),
        Column("utilisation", "percentunit", busy(kind, label)),
        Column("power", "watt", drawn(kind, label)),
        Column("cost per hour", "none", f"{drawn(kind, label)} / 1000 * $price"),
        text="Utilisation and power are those of the GPUs that it is on.",
        nothing="None on GPUs.",
    )


def jobs() -> list[Json]:
    """By Slurm job, Kubernetes pod and container."""
    return [
        row("Slurm jobs"),
        held_by("Slurm jobs", "slurm_job", "job_id"),
        graph(
            "Memory held by Slurm jobs",
            "bytes",
            Query(
                f"sum by (job_id) (gpudoctor_slurm_job_memory_used_bytes{HERE})", "job {{job_id}}"
            ),
            stacked=True,
        ),
        graph(
            "Utilisation of the GPUs of Slurm jobs",
            "percentunit",
            Query(busy("slurm_job", "job_id"), "job {{job_id}}"),
            limits=(0, 1),
        ),
        row("Kubernetes pods and containers"),
        held_by("Kubernetes pods", "pod", "pod_uid"),
        held_by("Containers outside of pods", "container", "container_id"),
    ]


def energy() -> list[Json]:
    """What it takes and costs."""
    return [
        row("Energy and waste"),
        graph(
            "Cost of energy per hour, by user",
            "none",
            Query(f"{drawn('user', 'user')} / 1000 * $price", "{{user}}"),
            text="At the price for one kWh that is chosen above. A GPU that two users share counts for"
            " both.",
        ),
        graph(
            "Power of GPUs by what they do",
            "watt",
            Query(
                f"sum(gpudoctor_gpu_power_usage_watts{HERE} and on (instance, uuid)"
                f" (gpudoctor_gpu_utilization_ratio{HERE} > 0.01)) or vector(0)",
                "working",
            ),
            Query(
                f"sum(gpudoctor_gpu_power_usage_watts{HERE} and on (instance, uuid)"
                f" (gpudoctor_gpu_utilization_ratio{HERE} <= 0.01)) or vector(0)",
                "idle",
            ),
            text="working: a kernel ran for more than 1 % of the time, when it was looked at.",
            stacked=True,
        ),
        graph(
            "Memory that no listed process holds",
            "bytes",
            Query(f"sum by (instance) (gpudoctor_gpu_unlisted_memory_bytes{HERE})", "{{instance}}"),
            text="A little is the driver's own; much of it belongs to other containers or to nobody.",
        ),
    ]


def build() -> Json:
    """The dashboard."""
    return dashboard(
        "gpudoctor-users",
        "GPUs: users and waste",
        "Who holds which memory, as user, Slurm job, pod or container; what lies idle; what it costs.",
        [INSTANCES, IDLE, text_box("price", "Price of one kWh", "0.30")],
        [*overview(), *who(), *jobs(), *energy(), *runs.build()],
    )

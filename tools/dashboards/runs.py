"""What `gpudoctor profile` and `gpudoctor bench` left with --metrics-file, read by node_exporter."""

from __future__ import annotations

from tools.dashboards.parts import Column, Json, Query, graph, row, table

# Of all machines: they are told under node_exporter's address, which is not the daemon's.
_BY = "by (instance, script)"
_WAITS = f"sum {_BY} (gpudoctor_profile_loader_wait_seconds)"
_MEDIAN = 'sum by (instance, script) (gpudoctor_profile_step_seconds{statistic="median"})'
_SETTING = "by (instance, script, setting)"


def _bound(end: str) -> str:
    return f'sum {_SETTING} (gpudoctor_bench_speedup_bound_ratio{{bound="{end}"}})'


def profiled() -> list[Json]:
    """The scripts that were profiled."""
    gains = (
        "0 * gpudoctor_profile_finding_rank + on (instance, script, id) group_left ()"
        " gpudoctor_profile_finding_gain_seconds"
    )
    return [
        table(
            "Profiled scripts",
            Column(
                "began",
                "dateTimeAsIso",
                f"1000 * sum {_BY} (gpudoctor_profile_start_timestamp_seconds)",
            ),
            Column("took", "s", f"sum {_BY} (gpudoctor_profile_wall_seconds)"),
            Column("median step", "s", _MEDIAN),
            Column("waited for data", "s", _WAITS),
            Column("exit code", "none", f"sum {_BY} (gpudoctor_profile_exit_code)"),
            text="The last run of each, by `gpudoctor profile --metrics-file`. Of all machines that a"
            " node_exporter tells of, whatever is chosen above.",
            nothing="No script was profiled with --metrics-file.",
        ),
        table(
            "What held them back",
            Column("rank", "none", "gpudoctor_profile_finding_rank"),
            Column("at most to gain", "s", gains),
            text="1 is the most costly. docs/profile.md explains the ids.",
            nothing="Nothing was found.",
        ),
        graph(
            "Median step",
            "s",
            Query(_MEDIAN, "{{script}} on {{instance}}"),
            text="A script that gets slower from run to run shows here.",
        ),
        graph("Waits for data", "s", Query(_WAITS, "{{script}} on {{instance}}")),
    ]


def benched() -> list[Json]:
    """The settings that were measured."""
    return [
        table(
            "Benchmarks",
            Column("step", "s", f"sum {_SETTING} (gpudoctor_bench_step_seconds)"),
            Column("speedup", "none", f"sum {_SETTING} (gpudoctor_bench_speedup_ratio)"),
            Column("at least", "none", _bound("low")),
            Column("at most", "none", _bound("high")),
            text="By `gpudoctor bench --metrics-file`. Steps per second relative to the unchanged run;"
            " where 1 lies between at least and at most, no difference is shown.",
            nothing="Nothing was measured with --metrics-file.",
        ),
    ]


def build() -> list[Json]:
    """The row of a dashboard."""
    return [row("Profiler and bench results"), *profiled(), *benched()]

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gpudoctor.model.owner import Owner
from gpudoctor.model.process import GpuUse
from gpudoctor.model.readings import (
    MemoryReading,
    UtilizationReading,
)
from gpudoctor.model.snapshot import CollectorOutcome, DeviceState
from gpudoctor.render.metrics import processes as process_metrics
from gpudoctor.render.metrics.table import METRICS
from gpudoctor.render.metrics.view import Metric, OwnCost, Totals, View, XidTotal
from gpudoctor.render.prometheus import exposition
from gpudoctor.units import printable
from tests.builders import AT, GIB, device, process, snapshot, uuid_of
from tests.rich import rich_device, rich_inspection

GOLDEN = Path(__file__).parent / "metrics.txt"


def view_of(*devices, **changes):
    processes = changes.pop("processes", ())
    return View(snapshot(*devices, processes=processes), fresh=True, **changes)


def full_view() -> View:
    """A machine on which every metric has at least one series."""
    rich = rich_device()
    used = process(gpus=(GpuUse(0, uuid_of(0), "compute", GIB, sm_ratio=0.5),))
    outcome = CollectorOutcome("pcie", uuid_of(0), True, 0.02, AT)
    boxed = process(101, gpus=(GpuUse(0, uuid_of(0), "compute", GIB),))
    owners = {
        100: Owner("4711", "0f1e2d3c-0000-4000-8000-000000000001", "0123456789ab"),
        101: Owner(container="ba9876543210"),
    }
    plain = device(1)  # not in MIG mode
    shot = snapshot(
        rich, plain, processes=(used, boxed), collectors=(outcome,), duration_seconds=0.03
    )
    totals = Totals(7, {(uuid_of(0), 79): XidTotal(2, AT - 5)}, {(uuid_of(0), "pcie"): 0})
    own = OwnCost(
        1.5, 30_000_000, 12, AT - 100, 0, {("webhook", "sent"): 3, ("webhook", "lost"): 1},
        {("dry-run", "would_end"): 2, ("kill", "ended"): 1},
    )  # fmt: skip
    return View(
        shot, True, totals, own, 5.0, process_rows=10, inspection=rich_inspection(), owners=owners,
        link_rows=True,
    )  # fmt: skip


def series(view: View, name: str) -> list[str]:
    lines = exposition(view).decode().splitlines()
    return [line for line in lines if line.startswith((name + "{", name + " "))]


def test_the_exposition_is_the_golden_one():
    lines = exposition(full_view()).decode().splitlines()
    # The version and the interpreter are of the moment.
    kept = [line for line in lines if not line.startswith("gpudoctor_build_info{")]
    assert kept == GOLDEN.read_text().splitlines()


def test_every_metric_of_the_table_can_have_a_series():
    text = exposition(full_view()).decode()
    missing = [metric.name for metric in METRICS if f"# TYPE {metric.name} " not in text]
    assert missing == []


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say():
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition(full_view()), capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_both_formats_say_the_same_to_their_parsers():
    view = full_view()
    text = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(exposition(view).decode())
        for sample in family.samples
    }
    openmetrics = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_openmetrics(exposition(view, openmetrics=True).decode())
        for sample in family.samples
    }
    assert text == openmetrics
    assert len(text) > 80


def test_an_openmetrics_counter_is_named_without_its_suffix_and_the_body_has_an_end():
    text = exposition(full_view(), openmetrics=True).decode()
    assert "# TYPE gpudoctor_gpu_energy_joules counter\n" in text
    assert "# TYPE gpudoctor_gpu info\n" in text
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_body_tells_how_many_series_it_has(openmetrics):
    lines = exposition(full_view(), openmetrics=openmetrics).decode().splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    assert f"gpudoctor_series {len(rows)}" in rows


def test_no_series_comes_twice():
    keys = [
        line.rsplit(" ", 1)[0]
        for line in exposition(full_view()).decode().splitlines()
        if not line.startswith("#")
    ]
    assert len(keys) == len(set(keys))


def test_single_links_have_series_only_where_they_are_asked_for():
    view = replace(full_view(), link_rows=False)
    assert series(view, "gpudoctor_gpu_nvlink_link_up") == []
    assert len(series(full_view(), "gpudoctor_gpu_nvlink_link_up")) == 2


def test_memory_that_no_listed_process_holds_is_told_and_never_below_zero():
    lean = device(memory=MemoryReading(80 * GIB, 12 * GIB, 68 * GIB))
    [line] = series(view_of(lean, processes=(process(),)), "gpudoctor_gpu_unlisted_memory_bytes")
    assert line.endswith(f" {2 * GIB}")
    much = process(used=13 * GIB)
    [line] = series(view_of(lean, processes=(much,)), "gpudoctor_gpu_unlisted_memory_bytes")
    assert line.endswith(" 0")


def test_a_process_whose_memory_is_not_told_leaves_the_unlisted_memory_unknown():
    view = view_of(device(), processes=(process(), process(101, used=None)))
    assert series(view, "gpudoctor_gpu_unlisted_memory_bytes") == []


def test_a_reading_that_the_gpu_does_not_give_has_no_series():
    view = view_of(device(memory=MemoryReading(80 * GIB, None, None)))
    assert series(view, "gpudoctor_gpu_memory_used_bytes") == []
    assert b"gpudoctor_gpu_memory_used_bytes" not in exposition(view)
    assert len(series(view, "gpudoctor_gpu_memory_total_bytes")) == 1


def test_nan_has_no_series():
    metric = Metric("m", "gauge", "h", ("a",), lambda view: [(("x",), float("nan"))])
    assert exposition(View(), metrics=[metric]) == b""


@pytest.mark.parametrize("state", [DeviceState.STALE, DeviceState.LOST])
def test_a_gpu_that_does_not_answer_is_marked_and_keeps_none_of_its_values(state):
    on_it = process(index=1)
    view = view_of(device(0), device(1, state=state), processes=(on_it,))
    text = exposition(view).decode()
    of_it = [line for line in text.splitlines() if uuid_of(1) in line]
    assert {line.split("{")[0] for line in of_it} == {
        "gpudoctor_gpu_info",
        "gpudoctor_gpu_up",
        "gpudoctor_gpu_state_info",
    }
    assert f'gpudoctor_gpu_up{{uuid="{uuid_of(1)}"}} 0' in text
    assert f'gpudoctor_gpu_up{{uuid="{uuid_of(0)}"}} 1' in text
    assert f'gpudoctor_gpu_state_info{{uuid="{uuid_of(1)}",state="{state}"}} 1' in text


def test_a_gpu_of_which_some_readings_fail_keeps_the_others():
    failed = device(state=DeviceState.FAILED, utilization=UtilizationReading())
    view = view_of(failed)
    assert series(view, "gpudoctor_gpu_up")[0].endswith(" 1")
    assert series(view, "gpudoctor_gpu_utilization_ratio") == []
    assert len(series(view, "gpudoctor_gpu_power_usage_watts")) == 1


def test_when_sampling_has_stopped_no_gpu_has_readings():
    view = replace(full_view(), fresh=False)
    text = exposition(view).decode()
    assert "gpudoctor_sampling_up 0\n" in text
    assert series(view, "gpudoctor_gpu_up")[0].endswith(" 0")
    assert "watts" not in text
    assert "gpudoctor_user_memory" not in text
    assert "gpudoctor_host_" not in text
    assert len(series(view, "gpudoctor_gpu_xid_errors_total")) == 1


def test_before_the_first_sample_only_the_daemon_speaks():
    text = exposition(View(interval_seconds=5.0)).decode()
    assert "gpudoctor_sampling_up 0\n" in text
    assert "gpudoctor_gpu" not in text


def test_processes_have_series_of_their_own_only_when_asked_for():
    rows = tuple(process(pid, used=pid * GIB) for pid in (1, 2, 3))
    assert series(view_of(processes=rows), "gpudoctor_process_memory_used_bytes") == []
    shown = series(view_of(processes=rows, process_rows=2), "gpudoctor_process_memory_used_bytes")
    assert [line.partition('pid="')[2][0] for line in shown] == ["2", "3"]
    assert series(view_of(processes=rows, process_rows=2), "gpudoctor_processes_omitted") == [
        "gpudoctor_processes_omitted 1"
    ]


def test_a_dead_pid_leaves_no_series():
    first = exposition(view_of(processes=(process(4711),), process_rows=9))
    second = exposition(view_of(processes=(), process_rows=9))
    assert b"4711" in first
    assert b"4711" not in second


def test_a_process_that_is_twice_on_a_gpu_is_one_series():
    uses = tuple(GpuUse(0, uuid_of(0), kind, GIB) for kind in ("compute", "graphics"))
    view = view_of(processes=(process(gpus=uses),), process_rows=9)
    [line] = series(view, "gpudoctor_process_memory_used_bytes")
    assert line.endswith(f" {2 * GIB}")
    assert len(series(view, "gpudoctor_gpu_processes")) == 2


def test_the_users_who_hold_least_are_told_of_together():
    most = process_metrics.MOST_USERS
    rows = tuple(process(pid, used=pid * GIB, user=f"u{pid}") for pid in range(1, most + 4))
    shown = series(view_of(processes=rows), "gpudoctor_user_memory_used_bytes")
    assert len(shown) == most + 1
    [others] = [line for line in shown if 'user="(others)"' in line]
    assert others.endswith(f" {(1 + 2 + 3) * GIB}")


def test_an_idle_gpu_has_zero_processes_not_none():
    [line] = series(view_of(device()), "gpudoctor_gpu_processes")
    assert line.endswith('kind="compute"} 0')


@given(st.text(), st.text(), st.floats(allow_nan=False))
def test_any_label_survives_the_way_through_a_parser(value, help_text, number):
    metric = Metric("m", "gauge", help_text, ("a", "b"), lambda view: [((value, "x"), number)])
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        body = exposition(View(), openmetrics=openmetrics, metrics=[metric])
        [family] = parse(body.decode())
        [sample] = family.samples
        assert sample.labels == {"a": printable(value), "b": "x"}
        assert sample.value == number


def test_a_name_with_a_lone_surrogate_does_not_break_the_scrape():
    view = view_of(processes=(process(name="\udcff"),), process_rows=1)
    assert b'name="\\\\udcff"' in exposition(view)


def test_names_and_help_follow_the_conventions():
    for metric in METRICS:
        assert metric.help.endswith("."), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.name.endswith("_info") == (metric.kind == "info"), metric.name
        assert metric.name.startswith(("gpudoctor_", "process_")), metric.name
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


def test_jobs_pods_and_containers_are_told_of_and_bounded():
    rows = tuple(process(pid, used=(pid + 1) * GIB) for pid in range(40))
    owners = {pid: Owner(slurm_job=str(pid)) for pid in range(40)}
    view = view_of(device(), processes=rows, owners=owners)
    memory = series(view, "gpudoctor_slurm_job_memory_used_bytes")
    assert len(memory) == 33
    assert f'job_id="39"}} {40 * GIB}' in "\n".join(memory)
    [others] = [line for line in memory if 'job_id="(others)"' in line]
    assert others.endswith(f" {sum(range(1, 9)) * GIB}")
    assert series(view, "gpudoctor_pod_processes") == []
    # A container of a pod is told of by the pod alone.
    view = view_of(device(), processes=rows[:1], owners={0: Owner(None, "uid", "box")})
    assert len(series(view, "gpudoctor_pod_processes")) == 1
    assert series(view, "gpudoctor_container_processes") == []


def test_a_job_of_a_user_costs_a_gpu_four_series_however_many_processes_it_has():
    devices = [replace(rich_device(), facts=device(index).facts) for index in range(8)]
    rows = tuple(
        process(10 * index + number, index, user=f"user{index}")
        for index in range(8)
        for number in range(2)
    )
    owners = {row.pid: Owner(slurm_job=str(row.pid // 10)) for row in rows}

    def count(**more):
        shot = view_of(*devices, **more)
        return sum(not line.startswith("#") for line in exposition(shot).decode().splitlines())

    bare, full = count(), count(processes=rows, owners=owners)
    assert (full - bare) / 8 == 4

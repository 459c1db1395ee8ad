"""The metrics of one run, as node_exporter reads them."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from gpudoctor.cli.main import run
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.bench import BenchKind, BenchReport, BenchResult, Machine, Ratio, Status
from gpudoctor.model.bench import Timing as StepTiming
from gpudoctor.model.finding import Severity
from gpudoctor.model.profile import (
    GpuUse,
    LoaderTime,
    MemoryPoint,
    ProfileFinding,
    TorchDevice,
    TorchFacts,
)
from gpudoctor.render.metrics.runs import RUN_GROUPS
from gpudoctor.render.metrics_file import check, write_bench, write_profile
from tests.profile.build import RUN, profile, session

NAMES = [{metric.name for metric in group.metrics} for group in RUN_GROUPS]


def told(path):
    """The readings of a file, by name and labels without the script."""
    found = {}
    for family in parse(path.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("script") in ("main.py", "resnet50")
            key = (sample.name.removeprefix("gpudoctor_"), *labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def finding(id_, gain, line="main.py:7"):
    return ProfileFinding(id_, Severity.WARNING, "a summary", gain, line)


def full_profile():
    return profile(
        run=replace(RUN, program=("main.py", "--password", "secret"), started_at=1.7e9),
        torch=TorchFacts("2.13.0", devices=(TorchDevice(0, "H100", memory_peak_bytes=7),)),
        loaders=(
            LoaderTime(1.5, 10, 0, "main.py:3"),
            LoaderTime(0.5, 10, 0, "main.py:3"),
            LoaderTime(0.25, 10, 0, None),
        ),
        findings=(finding("loader.starved", 2.0), finding("step.sync", None, None)),
        memory=(MemoryPoint(0.0, 100), MemoryPoint(1.0, 300), MemoryPoint(2.0, 200)),
        gpus=(GpuUse(0, "GPU-0", "H100", 3, 1.0, utilization_mean_ratio=0.5),),
    )


def bench_report():
    steps = StepTiming(0.1, 0.09, 0.11, 100, 5)
    return BenchReport(
        BenchKind.CUDNN,
        Machine("cuda:0", torch="2.13.0"),
        ("a verdict",),
        (
            BenchResult("resnet50", "default", True, Status.MEASURED, step=steps),
            BenchResult(
                "resnet50",
                "benchmark",
                False,
                Status.MEASURED,
                step=replace(steps, median_seconds=0.08),
                speedup=Ratio(1.25, 1.2, 1.3, 5, 0.95),
                warmup_seconds=2.0,
                peak_memory_bytes=900,
            ),
            BenchResult("resnet50", "deterministic", False, Status.FAILED, "it broke"),
        ),
        12.0,
    )


def test_a_profile_tells_verdict_steps_and_waits_of_its_script(tmp_path):
    path = tmp_path / "main.prom"
    write_profile(path, full_profile())
    found = told(path)
    assert found["profile_step_seconds", "median"] == 0.1
    assert found["profile_step_seconds", "p95"] == 0.12
    assert found["profile_loader_wait_seconds", "main.py:3"] == 2.0
    assert found["profile_loader_wait_seconds", ""] == 0.25
    assert found["profile_finding_rank", "loader.starved", "warning", "main.py:7"] == 1
    assert found["profile_finding_rank", "step.sync", "warning", ""] == 2
    assert found["profile_finding_gain_seconds", "loader.starved"] == 2.0
    assert ("profile_finding_gain_seconds", "step.sync") not in found
    assert found["profile_memory_peak_bytes", "host"] == 300
    assert found["profile_memory_peak_bytes", "cuda:0"] == 7
    assert found["profile_start_timestamp_seconds",] == 1.7e9
    assert {f"gpudoctor_{name}" for name, *_ in found} == NAMES[0]
    # Arguments may be secret.
    assert "secret" not in path.read_text()


def test_what_a_run_did_not_give_has_no_series(tmp_path):
    path = tmp_path / "main.prom"
    write_profile(path, profile(run=replace(RUN, exit_code=None), steps=None))
    assert {name for name, *_ in told(path)} == {
        "profile_info",
        "profile_start_timestamp_seconds",
        "profile_wall_seconds",
    }


def test_a_benchmark_tells_ratios_with_their_intervals(tmp_path):
    path = tmp_path / "bench.prom"
    write_bench(path, bench_report(), at=1.7e9)
    found = told(path)
    assert found["bench_step_seconds", "default"] == 0.1
    assert found["bench_speedup_ratio", "benchmark"] == 1.25
    assert found["bench_speedup_bound_ratio", "benchmark", "low"] == 1.2
    assert found["bench_speedup_bound_ratio", "benchmark", "high"] == 1.3
    assert found["bench_status_info", "deterministic", "failed"] == 1
    assert ("bench_step_seconds", "deterministic") not in found
    assert found["bench_end_timestamp_seconds",] == 1.7e9
    assert {f"gpudoctor_{name}" for name, *_ in found} == NAMES[1]


def test_the_file_is_replaced_and_all_may_read_it(tmp_path):
    path = tmp_path / "main.prom"
    path.write_text("old")
    write_profile(path, full_profile())
    assert "old" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(GpuDoctorError) as caught:
            check(tmp_path / name)
        assert caught.value.cause == "it is no regular file"


@pytest.mark.parametrize("name", ["missing/main.prom", "folder"])
def test_a_file_that_cannot_be_written_is_told_before_the_run(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(GpuDoctorError, match="cannot be written"):
        check(tmp_path / name)
    with pytest.raises(GpuDoctorError, match="cannot be written"):
        write_profile(tmp_path / name, full_profile())
    assert {path.name for path in tmp_path.iterdir()} == {"folder"}


def test_profile_writes_the_file_of_a_run_that_is_loaded_and_of_one_that_failed(tmp_path, capfd):
    session(tmp_path / "kept", ended={"how": "exit", "code": 7})
    path = tmp_path / "main.prom"
    assert run(["profile", "--load", str(tmp_path / "kept"), "--metrics-file", str(path)]) == 0
    assert told(path)["profile_exit_code",] == 7
    assert "main.py" in capfd.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["profile", "--metrics-file", "missing/x.prom", "main.py"],
        ["bench", "--metrics-file", "missing/x.prom", "main.py"],
        ["bench", "cudnn", "--metrics-file", "missing/x.prom"],
        ["profile", "--metrics-file", "x.prom", "--diff", "a", "b"],
        ["profile", "--metrics-file", "x.prom", "--nproc-per-node", "2", "main.py"],
    ],
    ids=lambda words: " ".join(words),
)
def test_what_cannot_be_written_ends_the_command_before_anything_runs(
    tmp_path, monkeypatch, capfd, arguments
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text("open('ran', 'w')\n")
    assert run(arguments) == 2
    assert "metrics-file" in capfd.readouterr().err.replace("textfile.directory", "metrics-file")
    assert [one.name for one in tmp_path.iterdir()] == ["main.py"]

"""Metrics of one run of `gpudoctor profile` or `gpudoctor bench`, for a file that node_exporter reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from gpudoctor.model.bench import BenchReport, BenchResult
from gpudoctor.model.profile import Profile
from gpudoctor.render.metrics.view import Kind, Metric, MetricGroup, Reading, Sample

T = TypeVar("T")
_SCRIPT = ("script",)
_SETTING = ("script", "setting")


@dataclass(frozen=True, slots=True)
class RunMetric(Generic[T]):
    """One metric family of a run. `read` gives its samples; one whose reading is None is left out."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[T], Iterable[Sample]]

    def of(self, run: T) -> Metric:
        """The metric with what this run gives; a series that is told twice counts as told first."""
        samples: dict[tuple[str, ...], Reading] = {}
        for labels, reading in self.read(run):
            samples.setdefault(labels, reading)
        return Metric(self.name, self.kind, self.help, self.labels, lambda _: samples.items())


@dataclass(frozen=True, slots=True)
class Benched:
    """What was measured, and when it was done, seconds since the epoch."""

    report: BenchReport
    at: float


def _script(seen: Profile) -> str:
    # The arguments are left out: they may hold what is secret, and change with every run.
    return seen.run.program[0] if seen.run.program else ""


def _single(read: Callable[[Profile], Reading]) -> Callable[[Profile], Iterator[Sample]]:
    def sample(seen: Profile) -> Iterator[Sample]:
        yield (_script(seen),), read(seen)

    return sample


def _run_info(seen: Profile) -> Iterator[Sample]:
    torch = seen.torch.version if seen.torch else None
    yield (_script(seen), seen.run.how, seen.run.python_version, torch or ""), 1


def _steps(seen: Profile) -> Iterator[Sample]:
    if seen.steps is not None:
        yield (_script(seen), seen.steps.boundary), seen.steps.count


def _step_seconds(seen: Profile) -> Iterator[Sample]:
    if seen.steps is not None:
        yield (_script(seen), "median"), seen.steps.median_seconds
        yield (_script(seen), "p95"), seen.steps.p95_seconds
        yield (_script(seen), "first"), seen.steps.first_seconds


def _waits(seen: Profile) -> Iterator[Sample]:
    waits: dict[str, float] = {}
    for loader in seen.loaders:
        line = loader.source_line or ""
        waits[line] = waits.get(line, 0.0) + loader.wait_seconds
    for line, seconds in waits.items():
        yield (_script(seen), line), seconds


def _findings(seen: Profile) -> Iterator[Sample]:
    for rank, finding in enumerate(seen.findings, 1):
        line = finding.source_line or ""
        yield (_script(seen), finding.id, finding.severity.value, line), rank


def _gains(seen: Profile) -> Iterator[Sample]:
    gains: dict[str, float] = {}
    for finding in seen.findings:
        if finding.gain_seconds is not None:
            gains[finding.id] = max(gains.get(finding.id, 0.0), finding.gain_seconds)
    for id_, seconds in gains.items():
        yield (_script(seen), id_), seconds


def _memory(seen: Profile) -> Iterator[Sample]:
    if seen.memory:
        yield (_script(seen), "host"), max(point.resident_bytes for point in seen.memory)
    for device in seen.torch.devices if seen.torch else ():
        yield (_script(seen), f"cuda:{device.index}"), device.memory_peak_bytes


def _gpus(seen: Profile) -> Iterator[Sample]:
    for gpu in seen.gpus:
        yield (_script(seen), gpu.uuid), gpu.utilization_mean_ratio


PROFILE: tuple[RunMetric[Profile], ...] = (
    RunMetric(
        "gpudoctor_profile_info",
        "info",
        "The last profiled run. how is finished, exit, exception, interrupted, terminated, watched …",
        ("script", "how", "python", "torch"),
        _run_info,
    ),
    RunMetric(
        "gpudoctor_profile_start_timestamp_seconds",
        "gauge",
        "When it began, seconds since the epoch.",
        _SCRIPT,
        _single(lambda seen: seen.run.started_at),
    ),
    RunMetric(
        "gpudoctor_profile_wall_seconds",
        "gauge",
        "How long it took.",
        _SCRIPT,
        _single(lambda seen: seen.run.wall_seconds),
    ),
    RunMetric(
        "gpudoctor_profile_exit_code",
        "gauge",
        "The script's exit code.",
        _SCRIPT,
        _single(lambda seen: seen.run.exit_code),
    ),
    RunMetric(
        "gpudoctor_profile_steps",
        "gauge",
        "Its steps. boundary is what counts as one: optimizer, batch or forward.",
        ("script", "boundary"),
        _steps,
    ),
    RunMetric(
        "gpudoctor_profile_step_seconds",
        "gauge",
        "Time of a step. statistic is median, p95 (95 % were shorter) or first.",
        ("script", "statistic"),
        _step_seconds,
    ),
    RunMetric(
        "gpudoctor_profile_loader_wait_seconds",
        "gauge",
        "Time for which the main thread waited for the DataLoader that was built in this line.",
        ("script", "source_line"),
        _waits,
    ),
    RunMetric(
        "gpudoctor_profile_finding_rank",
        "gauge",
        "The verdict: what held the script back. 1 is the most costly; none where nothing was found.",
        ("script", "id", "severity", "source_line"),
        _findings,
    ),
    RunMetric(
        "gpudoctor_profile_finding_gain_seconds",
        "gauge",
        "The most of this run that solving it can save, as estimated.",
        ("script", "id"),
        _gains,
    ),
    RunMetric(
        "gpudoctor_profile_memory_peak_bytes",
        "gauge",
        "Most memory at once: device is host (resident), or cuda:N in the script's own order.",
        ("script", "device"),
        _memory,
    ),
    RunMetric(
        "gpudoctor_profile_gpu_utilization_ratio",
        "gauge",
        "Utilisation of a GPU that the script held memory on, averaged over the run.",
        ("script", "uuid"),
        _gpus,
    ),
)


def _results(
    read: Callable[[BenchResult], Reading],
) -> Callable[[Benched], Iterator[Sample]]:
    def samples(done: Benched) -> Iterator[Sample]:
        for one in done.report.results:
            yield (one.subject, one.setting), read(one)

    return samples


def _subjects(done: Benched) -> Iterator[Sample]:
    for subject in dict.fromkeys(one.subject for one in done.report.results):
        yield (subject,), done.at


def _bench_info(done: Benched) -> Iterator[Sample]:
    machine = done.report.machine
    told = (machine.device, machine.torch or "") if machine else ("", "")
    for subject in dict.fromkeys(one.subject for one in done.report.results):
        yield (subject, done.report.kind.value, *told), 1


def _status(done: Benched) -> Iterator[Sample]:
    for one in done.report.results:
        yield (one.subject, one.setting, one.status.value), 1


def _bounds(done: Benched) -> Iterator[Sample]:
    for one in done.report.results:
        if one.speedup is not None:
            yield (one.subject, one.setting, "low"), one.speedup.low
            yield (one.subject, one.setting, "high"), one.speedup.high


BENCH: tuple[RunMetric[Benched], ...] = (
    RunMetric(
        "gpudoctor_bench_info",
        "info",
        "The last benchmark. kind is cudnn, cpu or what-if; script is the network with the first two.",
        ("script", "kind", "device", "torch"),
        _bench_info,
    ),
    RunMetric(
        "gpudoctor_bench_end_timestamp_seconds",
        "gauge",
        "When it was done, seconds since the epoch.",
        _SCRIPT,
        _subjects,
    ),
    RunMetric(
        "gpudoctor_bench_status_info",
        "info",
        "How a setting fared: measured, failed, not_applicable or skipped.",
        ("script", "setting", "status"),
        _status,
    ),
    RunMetric(
        "gpudoctor_bench_step_seconds",
        "gauge",
        "Median time of a step with this setting.",
        _SETTING,
        _results(lambda one: one.step.median_seconds if one.step else None),
    ),
    RunMetric(
        "gpudoctor_bench_speedup_ratio",
        "gauge",
        "Steps per second relative to the unchanged run: 1.2 is 1.2 times as many.",
        _SETTING,
        _results(lambda one: one.speedup.value if one.speedup else None),
    ),
    RunMetric(
        "gpudoctor_bench_speedup_bound_ratio",
        "gauge",
        "The ends (bound is low or high) of the interval that holds the true speedup; where 1 lies"
        " between them, no difference is shown.",
        ("script", "setting", "bound"),
        _bounds,
    ),
    RunMetric(
        "gpudoctor_bench_warmup_seconds",
        "gauge",
        "What the first steps cost beyond steady ones.",
        _SETTING,
        _results(lambda one: one.warmup_seconds),
    ),
    RunMetric(
        "gpudoctor_bench_memory_peak_bytes",
        "gauge",
        "Most GPU memory at once.",
        _SETTING,
        _results(lambda one: one.peak_memory_bytes),
    ),
)


def _group(title: str, metrics: Iterable[RunMetric[T]]) -> MetricGroup:
    bare = [Metric(one.name, one.kind, one.help, one.labels, lambda _: ()) for one in metrics]
    return MetricGroup(title, tuple(bare))


RUN_GROUPS: tuple[MetricGroup, ...] = (
    _group("Profiled scripts", PROFILE),
    _group("Benchmarks", BENCH),
)

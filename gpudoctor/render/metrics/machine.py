"""Metrics of the machine around the GPUs, of the list of GPUs, and of the sampling itself."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from gpudoctor import __version__
from gpudoctor.model.snapshot import HostReading
from gpudoctor.render.metrics.make import single
from gpudoctor.render.metrics.view import Metric, MetricGroup, Reading, Sample, View
from gpudoctor.units import version_pair


def _pair(value: tuple[int, int] | None) -> str:
    return "" if value is None else version_pair(value)


def _gpu_info(view: View) -> Iterator[Sample]:
    for device in view.devices:
        facts = device.facts
        if facts.pci_bus_id:  # a GPU that never answered has told nothing of itself
            capability = _pair(facts.compute_capability)
            named = (facts.name, facts.pci_bus_id, facts.architecture or "", capability)
            more = (facts.vbios_version or "", facts.serial or "")
            yield (facts.uuid, str(facts.index), *named, *more), 1


def _gpu_up(view: View) -> Iterator[Sample]:
    for device in view.devices:
        yield (device.uuid,), view.is_up(device)


def _gpu_state(view: View) -> Iterator[Sample]:
    if view.fresh:
        yield from (((device.uuid, device.state.value), 1) for device in view.devices)


def _driver_info(view: View) -> Iterator[Sample]:
    driver = view.snapshot.driver if view.snapshot else None
    if driver is not None and driver.version:
        yield (driver.version, driver.nvml_version or "", _pair(driver.cuda_version)), 1


def _environment(view: View) -> Iterator[Sample]:
    found = view.inspection.installed if view.inspection else None
    if found is not None:
        builds = (found.torch or "", found.cuda or "", found.hip or "", found.cudnn or "")
        yield (found.python, *builds), 1


def _build_info(view: View) -> Iterator[Sample]:
    source = view.snapshot.source if view.snapshot else ""
    yield (__version__, platform.python_version(), source), 1


def _host(read: Callable[[HostReading], Reading]) -> Callable[[View], Reading]:
    return lambda view: read(view.snapshot.host) if view.snapshot and view.fresh else None


def _load(view: View) -> Iterator[Sample]:
    load = view.snapshot.host.load_average if view.snapshot and view.fresh else None
    if load is not None:
        yield from zip((("1m",), ("5m",), ("15m",)), load, strict=True)


def _collector_times(view: View) -> Iterator[Sample]:
    longest: dict[str, float] = {}
    for outcome in view.outcomes:
        longest[outcome.collector] = max(
            longest.get(outcome.collector, 0.0), outcome.duration_seconds
        )
    for name, seconds in longest.items():
        yield (name,), seconds


def _collector_errors(view: View) -> Iterator[Sample]:
    yield from view.totals.collector_errors.items()


GPU_LIST = MetricGroup(
    "The GPUs",
    (
        Metric(
            "gpudoctor_gpu_info",
            "info",
            "What does not change of a GPU; join it on uuid.",
            (
                "uuid",
                "index",
                "name",
                "pci_bus_id",
                "architecture",
                "compute_capability",
                "vbios",
                "serial",
            ),
            _gpu_info,
        ),
        Metric(
            "gpudoctor_gpu_up",
            "gauge",
            "1 when the GPU answered the last sample. At 0 it has no other readings.",
            ("uuid",),
            _gpu_up,
        ),
        Metric(
            "gpudoctor_gpu_state_info",
            "info",
            "ok, failed (some readings fail), stale (no answer in time) or lost (off the bus).",
            ("uuid", "state"),
            _gpu_state,
        ),
    ),
)

HOST = MetricGroup(
    "The host",
    (
        single("host_cpus", "CPUs of the machine.", _host(lambda it: it.cpu_count)),
        single(
            "host_cpu_ratio", "Busy share of all CPUs together.", _host(lambda it: it.cpu_ratio)
        ),
        single(
            "host_memory_total_bytes",
            "Memory of the machine.",
            _host(lambda it: it.memory_total_bytes),
        ),
        single(
            "host_memory_used_bytes",
            "Memory of the machine that is in use.",
            _host(lambda it: it.memory_used_bytes),
        ),
        Metric(
            "gpudoctor_host_load_average",
            "gauge",
            "Load average of the machine.",
            ("window",),
            _load,
        ),
    ),
)

# Only who writes the body can count its series, and does.
SERIES = Metric("gpudoctor_series", "gauge", "Series in this body.", (), lambda _: ())
SAMPLING = MetricGroup(
    "The daemon",
    (
        Metric(
            "gpudoctor_build_info",
            "info",
            "This gpudoctor. source is nvml, or demo or replay where no machine stands behind it.",
            ("version", "python", "source"),
            _build_info,
        ),
        Metric(
            "gpudoctor_driver_info",
            "info",
            "The NVIDIA driver; cuda is the newest CUDA that it supports.",
            ("version", "nvml", "cuda"),
            _driver_info,
        ),
        Metric(
            "gpudoctor_environment_info",
            "info",
            "The default interpreter and the torch in its folders, with the CUDA or HIP that torch was"
            " built for and the version of NVIDIA's cuDNN wheel; empty where there is none.",
            ("python", "torch", "cuda", "hip", "cudnn"),
            _environment,
        ),
        single(
            "sampling_up",
            "1 while samples arrive. At 0 no GPU has readings.",
            lambda view: view.fresh,
        ),
        single("samples_total", "Samples taken.", lambda view: view.totals.samples, kind="counter"),
        single(
            "sample_timestamp_seconds",
            "When the last sample was taken, seconds since the epoch; time() less this is its age.",
            lambda view: view.snapshot.taken_at if view.snapshot else None,
        ),
        single(
            "sample_duration_seconds",
            "How long the last sample took.",
            lambda view: view.snapshot.duration_seconds if view.snapshot else None,
        ),
        single(
            "sample_interval_seconds",
            "Seconds between samples, as set.",
            lambda view: view.interval_seconds,
        ),
        Metric(
            "gpudoctor_collector_duration_seconds",
            "gauge",
            "How long the last run of a collector took, on the GPU where it took longest.",
            ("collector",),
            _collector_times,
        ),
        Metric(
            "gpudoctor_collector_errors_total",
            "counter",
            "Runs of a collector that failed.",
            ("uuid", "collector"),
            _collector_errors,
        ),
        single(
            "recorder_errors_total",
            "Samples that the flight recorder could not write.",
            lambda view: view.own.unrecorded,
            kind="counter",
        ),
        Metric(
            "gpudoctor_notifications_total",
            "counter",
            "Changes for the webhook and the command of the settings: sent, or lost.",
            ("target", "outcome"),
            lambda view: view.own.notified.items(),
        ),
        Metric(
            "gpudoctor_reclaim_acts_total",
            "counter",
            "Left-over processes that the reclaim policy ended, would have ended, or could not.",
            ("mode", "result"),
            lambda view: view.own.reclaimed.items(),
        ),
        SERIES,
        single(
            "cpu_seconds_total",
            "CPU time that gpudoctor itself used.",
            lambda view: view.own.cpu_seconds,
            kind="counter",
            prefix="process_",
        ),
        single(
            "resident_memory_bytes",
            "Memory that gpudoctor itself holds.",
            lambda view: view.own.resident_bytes,
            prefix="process_",
        ),
        single(
            "open_fds",
            "Files that gpudoctor itself has open.",
            lambda view: view.own.open_files,
            prefix="process_",
        ),
        single(
            "start_time_seconds",
            "When gpudoctor was started, seconds since the epoch.",
            lambda view: view.own.started_at,
            prefix="process_",
        ),
    ),
)

"""Metrics that say whether a GPU is well, and of its MIG instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpudoctor.model.readings import HealthReading, MigInstance
from gpudoctor.render.metrics.make import gpu, gpu_by
from gpudoctor.render.metrics.view import Metric, MetricGroup, Reading, Sample, View


def _named(read: Callable[[HealthReading], str | None]) -> Callable[[View], Iterator[Sample]]:
    def samples(view: View) -> Iterator[Sample]:
        for device in view.answering():
            value = read(device.health)
            if value is not None:
                yield (device.uuid, value), 1

    return samples


def _xid_counts(view: View) -> Iterator[Sample]:
    for (uuid, code), total in view.totals.xids.items():
        yield (uuid, str(code)), total.count


def _xid_times(view: View) -> Iterator[Sample]:
    for (uuid, code), total in view.totals.xids.items():
        yield (uuid, str(code)), total.last_at


def _instances(read: Callable[[MigInstance], Reading]) -> Callable[[View], Iterator[Sample]]:
    def samples(view: View) -> Iterator[Sample]:
        for device in view.answering():
            for instance in device.mig.instances:
                yield (device.uuid, instance.uuid), read(instance)

    return samples


def _instance_info(view: View) -> Iterator[Sample]:
    for device in view.answering():
        for it in device.mig.instances:
            ids = (str(it.gpu_instance), str(it.compute_instance))
            yield (device.uuid, it.uuid, *ids, it.name or "", str(it.slices or "")), 1


ECC = MetricGroup(
    "Memory errors",
    (
        gpu("ecc_enabled", "1 when ECC is on.", lambda it: it.health.ecc_enabled),
        gpu_by(
            "ecc_volatile_errors_total",
            "Memory errors found by ECC since the driver was loaded.",
            "error",
            {
                "corrected": lambda it: it.health.ecc_corrected_volatile,
                "uncorrected": lambda it: it.health.ecc_uncorrected_volatile,
            },
            "counter",
        ),
        gpu_by(
            "ecc_aggregate_errors_total",
            "Memory errors found by ECC in the life of the GPU.",
            "error",
            {
                "corrected": lambda it: it.health.ecc_corrected_aggregate,
                "uncorrected": lambda it: it.health.ecc_uncorrected_aggregate,
            },
            "counter",
        ),
        gpu_by(
            "remapped_rows",
            "Memory rows replaced by spare ones, by the error that led to it (Ampere and newer).",
            "error",
            {
                "corrected": lambda it: it.health.remapped_corrected_rows,
                "uncorrected": lambda it: it.health.remapped_uncorrected_rows,
            },
        ),
        gpu(
            "row_remap_pending",
            "1 when a row waits for a GPU reset to be replaced.",
            lambda it: it.health.remap_pending,
        ),
        gpu(
            "row_remap_failed",
            "1 when a row could not be replaced: the GPU is to be exchanged.",
            lambda it: it.health.remap_failed,
        ),
        gpu(
            "retired_pages",
            "Memory pages taken out of use (before Ampere).",
            lambda it: it.health.retired_pages,
        ),
        gpu(
            "retired_pages_pending",
            "1 when a page waits for a reboot to be taken out of use.",
            lambda it: it.health.retired_pages_pending,
        ),
    ),
)

CONDITION = MetricGroup(
    "Errors and modes",
    (
        Metric(
            "gpudoctor_gpu_xid_errors_total",
            "counter",
            "Xid errors since gpudoctor was started. The first one is born at 1, which increase()"
            " does not see: alert on gpudoctor_gpu_xid_last_timestamp_seconds.",
            ("uuid", "xid"),
            _xid_counts,
        ),
        Metric(
            "gpudoctor_gpu_xid_last_timestamp_seconds",
            "gauge",
            "When this Xid was last reported, seconds since the epoch.",
            ("uuid", "xid"),
            _xid_times,
        ),
        Metric(
            "gpudoctor_gpu_recovery_action_info",
            "info",
            "What the driver itself recommends to do with the GPU; none when it is well.",
            ("uuid", "action"),
            _named(lambda it: it.recovery_action),
        ),
        Metric(
            "gpudoctor_gpu_compute_mode_info",
            "info",
            "Who may use the GPU.",
            ("uuid", "mode"),
            _named(lambda it: it.compute_mode),
        ),
        Metric(
            "gpudoctor_gpu_fabric_state_info",
            "info",
            "State of the NVSwitch fabric, on GPUs that have one.",
            ("uuid", "state"),
            _named(lambda it: it.fabric_state),
        ),
        gpu(
            "persistence_mode",
            "1 when the driver keeps the GPU initialised while nobody uses it.",
            lambda it: it.health.persistence_mode,
        ),
    ),
)

MIG = MetricGroup(
    "MIG",
    (
        gpu("mig_enabled", "1 when the GPU is in MIG mode.", lambda it: it.mig.enabled),
        Metric(
            "gpudoctor_mig_instance_info",
            "info",
            "A MIG instance of a GPU.",
            ("uuid", "mig_uuid", "gpu_instance", "compute_instance", "profile", "slices"),
            _instance_info,
        ),
        Metric(
            "gpudoctor_mig_instance_memory_total_bytes",
            "gauge",
            "Memory of a MIG instance.",
            ("uuid", "mig_uuid"),
            _instances(lambda it: it.memory_total_bytes),
        ),
        Metric(
            "gpudoctor_mig_instance_memory_used_bytes",
            "gauge",
            "Memory of a MIG instance that is in use.",
            ("uuid", "mig_uuid"),
            _instances(lambda it: it.memory_used_bytes),
        ),
    ),
)

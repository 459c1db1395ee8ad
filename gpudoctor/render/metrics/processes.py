"""Metrics of who uses the GPUs: by user, job, pod and container; by process where it was asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.render.metrics.view import Metric, MetricGroup, Reading, Sample, View

# A shared machine may see hundreds of users or jobs; a series for each would be no overview any more.
MOST_USERS = 32
OTHER_USERS = "(others)"
UNKNOWN_USER = "(unknown)"
# Whom a process is told of by; None where it is told of by nobody of that kind.
_Of = Callable[[View, GpuProcess], str | None]


def _uses(view: View) -> Iterator[tuple[GpuProcess, GpuUse]]:
    if view.snapshot is None:
        return
    answering = {device.uuid for device in view.answering()}
    for process in view.snapshot.processes:
        for use in process.gpus:
            if use.uuid in answering:
                yield process, use


def _counts(view: View) -> Iterator[Sample]:
    pids: dict[tuple[str, str], set[int]] = defaultdict(set)
    for device in view.answering():
        pids[device.uuid, "compute"] = set()
    for process, use in _uses(view):
        pids[use.uuid, use.kind].add(process.pid)
    for key, found in pids.items():
        yield key, len(found)


def _unlisted(view: View) -> Iterator[Sample]:
    held: dict[str, int | None] = {}
    for _, use in _uses(view):
        before, more = held.get(use.uuid, 0), use.memory_used_bytes
        # One process whose memory is not told makes the rest of that GPU unknown.
        held[use.uuid] = None if before is None or more is None else before + more
    for device in view.answering():
        used, listed = device.memory.used_bytes, held.get(device.uuid, 0)
        # A MIG instance's share of the driver's own memory is charged to nobody.
        if used is not None and listed is not None and not device.mig.enabled:
            yield (device.uuid,), max(0, used - listed)


def _user(_: View, process: GpuProcess) -> str | None:
    return process.user or UNKNOWN_USER


def _job(view: View, process: GpuProcess) -> str | None:
    owner = view.owners.get(process.pid)
    return owner.slurm_job if owner else None


def _pod(view: View, process: GpuProcess) -> str | None:
    owner = view.owners.get(process.pid)
    return owner.pod_uid if owner else None


def _container(view: View, process: GpuProcess) -> str | None:
    owner = view.owners.get(process.pid)
    # Those of a pod are told of by the pod.
    return owner.container if owner and not owner.pod_uid else None


def _names(view: View, of: _Of) -> dict[str, str]:
    """Each one's name in the metrics: those who hold most keep theirs."""
    held: dict[str, int] = defaultdict(int)
    for process, use in _uses(view):
        name = of(view, process)
        if name is not None:
            held[name] += use.memory_used_bytes or 0
    ranked = sorted(held, key=lambda name: (-held[name], name))
    return {name: name if rank < MOST_USERS else OTHER_USERS for rank, name in enumerate(ranked)}


def _memory_of(view: View, of: _Of) -> Iterator[Sample]:
    names = _names(view, of)
    held: dict[tuple[str, str], int] = defaultdict(int)
    for process, use in _uses(view):
        name = of(view, process)
        if name is not None and use.memory_used_bytes is not None:
            held[use.uuid, names[name]] += use.memory_used_bytes
    yield from held.items()


def _processes_of(view: View, of: _Of) -> Iterator[Sample]:
    names = _names(view, of)
    pids: dict[tuple[str, str], set[int]] = defaultdict(set)
    for process, use in _uses(view):
        name = of(view, process)
        if name is not None:
            pids[use.uuid, names[name]].add(process.pid)
    for key, found in pids.items():
        yield key, len(found)


def _by(kind: str, label: str, of: _Of, memory: str, count: str) -> tuple[Metric, Metric]:
    """The memory that one of a kind holds on a GPU, and its processes there."""
    return (
        Metric(
            f"gpudoctor_{kind}_memory_used_bytes",
            "gauge",
            memory,
            ("uuid", label),
            lambda view: _memory_of(view, of),
        ),
        Metric(
            f"gpudoctor_{kind}_processes",
            "gauge",
            count,
            ("uuid", label),
            lambda view: _processes_of(view, of),
        ),
    )


def _largest(view: View) -> tuple[GpuProcess, ...]:
    rows = view.snapshot.processes if view.snapshot and view.process_rows else ()
    ranked = sorted(rows, key=lambda row: (-(row.memory_used_bytes or 0), row.pid))
    return tuple(ranked[: view.process_rows])


def _of_processes(view: View, field: str) -> Iterator[Sample]:
    chosen = {process.pid for process in _largest(view)}
    sums: dict[tuple[str, ...], Reading] = {}
    for process, use in _uses(view):
        value: Reading = getattr(use, field)
        if process.pid in chosen and value is not None:
            key = (use.uuid, str(process.pid), process.user or "", process.name or "")
            # One process may show up twice on a GPU: as compute and graphics, or on MIG instances.
            sums[key] = (sums.get(key) or 0) + value
    yield from sums.items()


def _process_memory(view: View) -> Iterator[Sample]:
    return _of_processes(view, "memory_used_bytes")


def _process_sm(view: View) -> Iterator[Sample]:
    return _of_processes(view, "sm_ratio")


def _omitted(view: View) -> Iterator[Sample]:
    if view.snapshot is not None and view.process_rows:
        yield (), max(0, len(view.snapshot.processes) - view.process_rows)


_PROCESS = ("uuid", "pid", "user", "name")
PROCESSES = MetricGroup(
    "Users and processes",
    (
        Metric(
            "gpudoctor_gpu_processes",
            "gauge",
            "Processes on the GPU, by kind: compute, graphics or mps.",
            ("uuid", "kind"),
            _counts,
        ),
        Metric(
            "gpudoctor_gpu_unlisted_memory_bytes",
            "gauge",
            "Used memory that no process on the GPU's list holds: a little is the driver's own, much of"
            " it belongs to another container or to nobody any more. Not in MIG mode.",
            ("uuid",),
            _unlisted,
        ),
        *_by(
            "user",
            "user",
            _user,
            "GPU memory that a user's processes hold. Users beyond the 32 largest are (others).",
            "A user's processes on a GPU.",
        ),
        *_by(
            "slurm_job",
            # `job`, `pod` and `container` are names that Prometheus and its operator give to targets.
            "job_id",
            _job,
            "GPU memory that a Slurm job's processes hold. Jobs beyond the 32 largest are (others).",
            "A Slurm job's processes on a GPU.",
        ),
        *_by(
            "pod",
            "pod_uid",
            _pod,
            "GPU memory that a Kubernetes pod's processes hold. Beyond the 32 largest: (others).",
            "A Kubernetes pod's processes on a GPU.",
        ),
        *_by(
            "container",
            "container_id",
            _container,
            "GPU memory that the processes of a container outside of pods hold. The same bound.",
            "Processes of a container outside of pods on a GPU.",
        ),
        Metric(
            "gpudoctor_process_memory_used_bytes",
            "gauge",
            "GPU memory that a process holds. Only with --processes, for so many largest.",
            _PROCESS,
            _process_memory,
        ),
        Metric(
            "gpudoctor_process_sm_ratio",
            "gauge",
            "Share of time in which a process ran on the SMs. Only with --processes.",
            _PROCESS,
            _process_sm,
        ),
        Metric(
            "gpudoctor_processes_omitted",
            "gauge",
            "Processes that have no series because there are more than --processes allows.",
            (),
            _omitted,
        ),
    ),
)

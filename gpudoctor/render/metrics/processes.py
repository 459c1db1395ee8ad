"""Metrics of who uses the GPUs: by user always, by process only where it was asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.render.metrics.view import Metric, MetricGroup, Reading, Sample, View

# A shared machine may see hundreds of users; a series for each would be no overview any more.
MOST_USERS = 32
OTHER_USERS = "(others)"
UNKNOWN_USER = "(unknown)"


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


def _users(view: View) -> dict[str, str]:
    """Each user's name in the metrics: those who hold most keep theirs."""
    held: dict[str, int] = defaultdict(int)
    for process, use in _uses(view):
        held[process.user or UNKNOWN_USER] += use.memory_used_bytes or 0
    ranked = sorted(held, key=lambda user: (-held[user], user))
    return {user: user if rank < MOST_USERS else OTHER_USERS for rank, user in enumerate(ranked)}


def _user_memory(view: View) -> Iterator[Sample]:
    names = _users(view)
    held: dict[tuple[str, str], int] = defaultdict(int)
    for process, use in _uses(view):
        if use.memory_used_bytes is not None:
            held[use.uuid, names[process.user or UNKNOWN_USER]] += use.memory_used_bytes
    yield from held.items()


def _user_processes(view: View) -> Iterator[Sample]:
    names = _users(view)
    pids: dict[tuple[str, str], set[int]] = defaultdict(set)
    for process, use in _uses(view):
        pids[use.uuid, names[process.user or UNKNOWN_USER]].add(process.pid)
    for key, found in pids.items():
        yield key, len(found)


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
            "gpudoctor_user_memory_used_bytes",
            "gauge",
            "GPU memory that a user's processes hold. Users beyond the 32 largest are (others).",
            ("uuid", "user"),
            _user_memory,
        ),
        Metric(
            "gpudoctor_user_processes",
            "gauge",
            "A user's processes on a GPU.",
            ("uuid", "user"),
            _user_processes,
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

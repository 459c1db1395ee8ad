"""Reads what a DataLoader's worker processes wrote about themselves, and adds it up per worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import decode
from gpudoctor.model.profile import LineTime, WorkerTime
from gpudoctor.profile.session import SamplesSeen, regular
from gpudoctor.profile.stacks import line_time

PATTERN = "worker-*.json"
_MOST_FILES = 1024
# Of one file: a worker keeps its most frequent stacks only.
_MOST_BYTES = 4 * 1024 * 1024
_FETCH = "torch/utils/data/_utils/fetch.py"


class WorkerSeen(msgspec.Struct, frozen=True):
    """worker-PID.json: one worker process of the loop that is `loader` in the session's order."""

    format: int
    pid: int
    loader: int
    worker: int
    batches: int
    busy_seconds: float
    wait_seconds: float
    collate_seconds: float
    cpu_seconds: float
    ended: bool
    cpu_wait_seconds: float | None = None
    samples: SamplesSeen | None = None


def read_workers(folder: Path) -> list[WorkerSeen]:
    """What the workers left in `folder`; a file that cannot be understood is left out."""
    seen = []
    for path in sorted(folder.glob(PATTERN))[:_MOST_FILES]:
        try:
            if path.stat().st_size <= _MOST_BYTES:
                seen.append(decode(regular(path), WorkerSeen, what=str(path)))
        except (OSError, GpuDoctorError):
            continue
    return seen


def worker_times(seen: Iterable[WorkerSeen], loader: int) -> tuple[WorkerTime, ...]:
    """The workers of one loop; the processes of all epochs that were the same worker put together."""
    groups: dict[int, list[WorkerSeen]] = defaultdict(list)
    for one in seen:
        if one.loader == loader and one.batches >= 0:
            groups[one.worker].append(one)
    return tuple(_together(number, groups[number]) for number in sorted(groups))


def _together(number: int, seen: Sequence[WorkerSeen]) -> WorkerTime:
    slow = slowest(seen)
    waits = [one.cpu_wait_seconds for one in seen if one.cpu_wait_seconds is not None]
    return WorkerTime(
        worker=number,
        pid=seen[-1].pid,
        processes=len(seen),
        batches=sum(one.batches for one in seen),
        busy_seconds=sum(one.busy_seconds for one in seen),
        wait_seconds=sum(one.wait_seconds for one in seen),
        collate_seconds=sum(one.collate_seconds for one in seen),
        cpu_seconds=sum(one.cpu_seconds for one in seen),
        cpu_wait_seconds=sum(waits) if waits else None,
        ended=all(one.ended for one in seen),
        line=slow,
    )


def slowest(seen: Iterable[WorkerSeen]) -> LineTime | None:
    """The line in which the workers spent most of the time that went into batches, by their samples."""
    times: dict[tuple[str, int, str], float] = defaultdict(float)
    for one in seen:
        if one.samples is None:
            continue
        for weight, _, frames in one.samples.stacks:
            place = _place(one.samples, frames)
            if place is not None:
                times[place] += weight
    if not times:
        return None
    (file, line, function), seconds = max(times.items(), key=lambda item: item[1])
    return line_time(function, file, line, "data", (0.0, seconds, 0.0))


def _place(samples: SamplesSeen, frames: Sequence[tuple[int, int]]) -> tuple[str, int, str] | None:
    """The innermost line of the user's in a stack that makes a batch, or where a library's dataset is."""
    outer: tuple[str, int, str] | None = None
    for index, line in frames:
        name, file, _, user = samples.functions[index]
        if user:
            return file, line, name
        if _FETCH in file:
            return outer
        outer = file, line, name
    return None

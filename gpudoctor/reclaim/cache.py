"""Empties torch's cache inside a live process, and tells what came back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.answers import read_answer
from gpudoctor.model.injection import Audit, CacheOnDevice, CacheReport, Visit, VisitEnd
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim import payloads
from gpudoctor.reclaim.agents import ask
from gpudoctor.reclaim.audit import about_to_visit, keep
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import TIMEOUT_S
from gpudoctor.reclaim.returned import watch_memory
from gpudoctor.reclaim.visitor import visit_apart

_ENDS = {
    VisitEnd.CANCELLED: (
        "cancelled",
        "it gave the interpreter to nobody in time; the request was withdrawn and will not run",
    ),
    VisitEnd.UNFINISHED: (
        "unfinished",
        "it began and has not finished: the GPU may be hung, or garbage collection takes long",
    ),
}


def empty_cache(
    pid: int,
    *,
    force: bool = False,
    deep: bool = False,
    timeout_s: float = TIMEOUT_S,
    see: Callable[[], Snapshot] | None = None,
) -> CacheReport:
    """Empties the cache of `pid`, through its agent where it runs one, else by entering it.

    With `see` the driver is asked, too, what came back. A line of audit is kept of every visit.

    Raises:
        GpuDoctorError: the process cannot be entered; nothing was done to it.
    """
    before = see() if see else None
    visited = about_to_visit(pid, force=force, deep=deep)
    done = ask(pid, force=force, deep=deep, timeout_s=timeout_s)
    if done is None:
        source = payloads.empty_cache(force=force, deep=deep)
        done = visit_apart(entrance(pid), source, timeout_s=timeout_s)
    freed: int | None = None
    if see is not None and before is not None and done.end is VisitEnd.DONE:
        gpus, _ = watch_memory(before, {pid}, see, patience_s=1.5, stays=True)
        amounts = [gpu.freed_bytes for gpu in gpus if gpu.freed_bytes is not None]
        freed = sum(amounts) if amounts else None
    outcome = report(done, freed)
    file = keep(visited, outcome)
    audit = Audit(visited.at, visited.uid, visited.start_ticks, file)
    return msgspec.structs.replace(outcome, audit=audit)


def check_idle(row: GpuProcess) -> None:
    """Freeing waits for queued work, and is unsafe while a graph is captured.

    Raises:
        GpuDoctorError: the process computes right now.
    """
    busy = [use.index for use in row.gpus if use.sm_ratio]
    if busy:
        raise GpuDoctorError(
            f"process {row.pid} is at work on GPU {busy[0]}",
            cause="emptying the cache now would make it wait, and it would fill again at once",
            hint=f"To do it all the same: gpudoctor empty-cache {row.pid} --force",
        )


class _Told(msgspec.Struct):
    """What the payload answers, from inside a process that may want to deceive us."""

    python: str = ""
    status: str = "failed"
    detail: str | None = None
    torch: str | None = None
    backend: str | None = None
    before: dict[int, tuple[int, int]] = {}
    after: dict[int, tuple[int, int]] = {}
    error: str | None = None


def _told(answer: str) -> _Told:
    try:
        return read_answer(answer, _Told)
    except ValueError as error:
        return _Told(error=str(error))


def report(done: Visit, driver_freed_bytes: int | None = None) -> CacheReport:
    """The report of a visit that ran the payload."""
    if done.answer is None:
        status, detail = _ENDS[done.end]
        return CacheReport(
            done.pid, status, detail, done.seconds, done.stopped_seconds, way=done.way
        )
    told = _told(done.answer)
    if told.error is not None:
        return CacheReport(
            done.pid, "failed", told.error, done.seconds, done.stopped_seconds, way=done.way
        )
    return CacheReport(
        pid=done.pid,
        status=told.status,
        detail=told.detail,
        seconds=done.seconds,
        stopped_seconds=done.stopped_seconds,
        python_version=told.python,
        torch_version=told.torch,
        backend=told.backend,
        devices=_devices(told.before, told.after),
        driver_freed_bytes=driver_freed_bytes,
        way=done.way,
    )


def _devices(
    before: dict[int, tuple[int, int]], after: dict[int, tuple[int, int]]
) -> tuple[CacheOnDevice, ...]:
    return tuple(
        CacheOnDevice(device, *amounts, *after.get(device, (0, 0)))
        for device, amounts in before.items()
    )

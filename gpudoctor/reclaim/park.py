"""Parks a process (all of its GPU memory goes to host memory) and brings it back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host import parked as records
from gpudoctor.model.condition import Condition, refused
from gpudoctor.model.lineage import Lineage
from gpudoctor.model.parked import Parked, Share
from gpudoctor.model.parking import ParkOutcome, ParkResult
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim import checkpoint
from gpudoctor.reclaim.park_conditions import Subject, park_conditions, unpark_conditions
from gpudoctor.reclaim.park_look import look
from gpudoctor.reclaim.park_words import explained, reason

PROC = Path("/proc")
# A checkpoint of 80 GB was reported to take 15 s, and answers of production machines over 3 minutes.
_LEAST_LIMIT_S = 180.0
_BYTES_PER_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class Task:
    """A process that is to be parked or brought back, as it was when it was looked at."""

    record: Parked
    conditions: tuple[Condition, ...]

    @property
    def refused(self) -> bool:
        """Whether a condition stands in the way."""
        return bool(refused(self.conditions))


def plan_park(pid: int, snapshot: Snapshot, root: Path = PROC) -> Task:
    """What parking `pid` means, with everything that stands in its way. Calls nothing.

    Raises:
        GpuDoctorError: there is no such process.
    """
    subject = _seen(pid, snapshot, root)
    process = subject.process
    row = subject.row
    record = msgspec.structs.replace(
        _record(pid, process, root),
        gpus=_shares(row),
        memory_used_bytes=row.memory_used_bytes if row else None,
        parked_at=time.time(),
    )
    return Task(record, park_conditions(subject))


def plan_unpark(pid: int, snapshot: Snapshot, root: Path = PROC) -> Task:
    """What bringing `pid` back means. A process that somebody else parked is tried without a record.

    Raises:
        GpuDoctorError: there is no such process.
    """
    subject = _seen(pid, snapshot, root)
    known = next((one for one in records.parked(root=root) if one.pid == pid), None)
    record = known or _record(pid, subject.process, root)
    return Task(record, unpark_conditions(record, subject, snapshot))


def _seen(pid: int, snapshot: Snapshot, root: Path) -> Subject:
    subject = look(pid, snapshot, root)
    ticks = subject.process.start_ticks
    answer = checkpoint.run("look", pid, ticks, limit_s=checkpoint.STATE_LIMIT_S)
    why, hint = reason(answer)
    if why is None or answer.refused in ("gone", "reused", "thread"):
        return subject
    return replace(subject, library=(why, hint))


def _record(pid: int, process: Lineage, root: Path) -> Parked:
    return Parked(
        pid=pid,
        start_ticks=process.start_ticks,
        boot_id=records.boot_id(root),
        name=process.name,
        command=process.command,
        user=process.user,
        uid=process.uid,
    )


def _shares(row: GpuProcess | None) -> tuple[Share, ...]:
    uses = row.gpus if row else ()
    return tuple(Share(use.index, use.uuid, use.memory_used_bytes) for use in uses)


def park(task: Task, *, lock_s: float = 10.0, limit_s: float | None = None) -> ParkResult:
    """Parks the process, unless a condition stands in the way. Its record is written before and after.

    Raises:
        GpuDoctorError: no record can be written; then nothing was called.
    """
    if task.refused:
        return result(task, ParkOutcome.REFUSED)
    record = task.record
    _write(record)
    answer = checkpoint.run(
        "park",
        record.pid,
        record.start_ticks,
        lock_ms=int(lock_s * 1000),
        limit_s=limit_s or lock_s + _limit(record.memory_used_bytes),
    )
    return _finish(task, answer, parking=True)


def unpark(task: Task, *, limit_s: float | None = None) -> ParkResult:
    """Brings the process back to its GPUs, unless a condition stands in the way."""
    if task.refused:
        return result(task, ParkOutcome.REFUSED)
    record = task.record
    answer = checkpoint.run(
        "unpark",
        record.pid,
        record.start_ticks,
        limit_s=limit_s or _limit(record.memory_used_bytes),
    )
    return _finish(task, answer, parking=False)


def _limit(amount: int | None) -> float:
    return _LEAST_LIMIT_S + (amount or 0) / _BYTES_PER_SECOND


def _write(record: Parked) -> None:
    try:
        records.write(record)
    except OSError as error:
        raise GpuDoctorError(
            "what is parked could not be noted, so nothing was parked",
            cause=str(error),
            hint="Set XDG_STATE_HOME to a folder that can be written.",
        ) from error


def _finish(task: Task, answer: checkpoint.Answer, *, parking: bool) -> ParkResult:
    """What the driver's answers mean; the record is made to say the same."""
    record = task.record
    state = answer.state
    if (answer.timed_out or answer.died) and _changed(answer):
        # What the dead child last knew may be old; a second one asks anew.
        state = _ask(record)
    outcome = _outcome(record, answer, state, parking=parking)
    if outcome is ParkOutcome.PARKED:
        _write(msgspec.structs.replace(record, confirmed=True))
    elif outcome in (ParkOutcome.RUNNING, ParkOutcome.GONE, ParkOutcome.DIED):
        records.forget(record)
    records.prune()
    detail, hint = explained(answer, outcome, record.pid)
    return result(task, outcome, seconds=answer.seconds, detail=detail, hint=hint)


def _ask(record: Parked) -> str | None:
    limit_s = checkpoint.STATE_LIMIT_S
    again = checkpoint.run("state", record.pid, record.start_ticks, limit_s=limit_s)
    if again.state == "locked":
        again = checkpoint.run("unlock", record.pid, record.start_ticks, limit_s=limit_s)
    return again.state


_OUTCOMES = {
    "running": ParkOutcome.RUNNING,
    "locked": ParkOutcome.LOCKED,
    "checkpointed": ParkOutcome.PARKED,
}


def _outcome(
    record: Parked, answer: checkpoint.Answer, state: str | None, *, parking: bool
) -> ParkOutcome:
    if not records.lives(record):
        return ParkOutcome.DIED if _changed(answer) else ParkOutcome.GONE
    if state is not None:
        return _OUTCOMES.get(state, ParkOutcome.UNKNOWN)
    if _changed(answer):
        return ParkOutcome.UNKNOWN
    if parking:
        return ParkOutcome.RUNNING
    return ParkOutcome.PARKED if record.confirmed else ParkOutcome.UNKNOWN


def _changed(answer: checkpoint.Answer) -> bool:
    """Whether a call was begun that changes something."""
    begun = {one.name for one in answer.calls if one.code is not None} | {answer.calling}
    return bool(begun & {"Lock", "Checkpoint", "Restore", "Unlock"})


def planned(tasks: Sequence[Task]) -> tuple[ParkResult, ...]:
    """What would become of each: planned, or refused by a condition."""
    return tuple(
        result(task, ParkOutcome.REFUSED if task.refused else ParkOutcome.PLANNED) for task in tasks
    )


def result(
    task: Task,
    outcome: ParkOutcome,
    *,
    seconds: float | None = None,
    detail: str | None = None,
    hint: str | None = None,
) -> ParkResult:
    """The result for this task's process."""
    record = task.record
    return ParkResult(
        pid=record.pid,
        name=record.name,
        outcome=outcome,
        command=record.command,
        user=record.user,
        memory_used_bytes=record.memory_used_bytes,
        conditions=task.conditions,
        seconds=seconds,
        detail=detail,
        hint=hint,
    )

"""Parked processes: as rows beside the others, and what is said before and after one is parked."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.ending import MemoryReturn
from gpudoctor.model.parked import Parked
from gpudoctor.model.parking import ParkOutcome, ParkResult
from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.words import Words, line
from gpudoctor.units import data_size, duration, printable, text

STATE = "parked"
_MARKS = {
    Standing.OK: ("ok", Level.GOOD),
    Standing.WARN: ("warn", Level.WARN),
    Standing.REFUSE: ("no", Level.BAD),
    Standing.UNKNOWN: ("?", Level.DIM),
}
_OUTCOMES = {
    ParkOutcome.PARKED: ("is parked: its GPU memory is in host memory", Level.GOOD),
    ParkOutcome.RUNNING: ("runs on its GPUs", Level.GOOD),
    ParkOutcome.PLANNED: ("could be", Level.PLAIN),
    ParkOutcome.REFUSED: ("was left alone", Level.WARN),
    ParkOutcome.LOCKED: ("is blocked in its CUDA calls", Level.BAD),
    ParkOutcome.UNKNOWN: ("is in an unknown state", Level.BAD),
    ParkOutcome.GONE: ("was gone already", Level.WARN),
    ParkOutcome.DIED: ("died", Level.BAD),
}
_WISHED = {"park": ParkOutcome.PARKED, "unpark": ParkOutcome.RUNNING}
_NOT_AS_WISHED = {
    ("park", ParkOutcome.RUNNING): "was not parked and runs on unharmed",
    ("unpark", ParkOutcome.PARKED): "is parked yet",
}


def is_parked(process: GpuProcess) -> bool:
    """Whether its row stands for a parked process."""
    return process.state == STATE


def with_parked(snapshot: Snapshot, parked: Iterable[tuple[Parked, float]]) -> Snapshot:
    """The snapshot with these processes (each with its start, in seconds since the epoch) among its own.

    The driver does not list a process whose memory is in the host's; where it does, its row is marked.
    """
    listed = {row.pid: row for row in snapshot.processes}
    rows = dict(listed)
    for record, started in parked:
        row = listed.get(record.pid)
        rows[record.pid] = _row(record, started) if row is None else replace(row, state=STATE)
    if rows == listed:
        return snapshot
    return replace(snapshot, processes=tuple(rows.values()))


def _row(record: Parked, started: float) -> GpuProcess:
    uses = tuple(
        GpuUse(share.index, share.uuid, STATE, 0 if record.confirmed else None)
        for share in record.gpus
    )
    return GpuProcess(
        pid=record.pid,
        started=started,
        gpus=uses,
        # None where the driver's answer is not known: then it may hold all of it yet.
        memory_used_bytes=0 if record.confirmed else None,
        visible=True,
        name=record.name,
        command=record.command,
        user=record.user,
        uid=record.uid,
        state=STATE,
    )


def parked_lines(process: GpuProcess) -> tuple[Words, ...]:
    """What a parked process is: nothing that could be left over on a GPU."""
    sure = process.memory_used_bytes is not None
    what = (
        "It is parked: its GPU memory is in the host's memory, and it stands still."
        if sure
        else "It may be parked: the driver did not answer when it was tried."
    )
    return (
        line(f"{process.pid} {text(process.name)}", Level.NOTICE),
        line(what, Level.PLAIN if sure else Level.WARN),
        line(f"→ gpudoctor unpark {process.pid}, or k u here, brings it back.", Level.DIM),
    )


def plan_lines(result: ParkResult) -> Iterator[Words]:
    """The process, with what is to be known before saying yes; all conditions where one refuses."""
    words = shlex.join(result.command) if result.command else f"[{result.name}]"
    yield (
        Cell(f"  {result.pid:>8}  ", Level.NOTICE),
        Cell(f"{printable(text(result.user))}  {data_size(result.memory_used_bytes)}  "),
        Cell(printable(words)),
    )
    for one in result.conditions:
        yield from _condition(one)


def _condition(one: Condition) -> Iterator[Words]:
    word, level = _MARKS[one.standing]
    yield (Cell(f"  {word:<5}", level), Cell(printable(one.text)))
    if one.hint and one.standing is not Standing.OK:
        yield line(f"       → {one.hint}", Level.DIM)


def done_lines(result: ParkResult, action: str) -> Iterator[Words]:
    """What became of one process; `action` is park or unpark."""
    words, level = _OUTCOMES[result.outcome]
    other = _NOT_AS_WISHED.get((action, result.outcome))
    if other is not None:
        words, level = other, Level.WARN
    after = "" if result.seconds is None else f" after {duration(result.seconds)}"
    yield line(f"{result.pid}  {words}{after}", level)
    if result.outcome is _WISHED[action]:
        return
    if result.detail:
        yield line(f"  {result.detail}")
    if result.hint:
        yield line(f"  → {result.hint}", Level.DIM)


def memory_lines(memory: Iterable[MemoryReturn]) -> Iterator[Words]:
    """How much of each GPU's memory came back."""
    for gpu in memory:
        if gpu.freed_bytes is None:
            yield line(f"GPU {gpu.index}: the driver does not tell how much memory came back")
            continue
        now = data_size(gpu.after_bytes)
        back = f"GPU {gpu.index}: {data_size(gpu.freed_bytes)} came back, {now} in use"
        yield line(back, Level.GOOD if gpu.freed_bytes > 0 else Level.WARN)


def taken_lines(before: Snapshot, after: Snapshot, uuids: Iterable[str]) -> Iterator[Words]:
    """How much more of each of these GPUs' memory is in use than before."""
    for uuid in uuids:
        then, now = before.device(uuid), after.device(uuid)
        if then is None or now is None:
            continue
        used, held = then.memory.used_bytes, now.memory.used_bytes
        if used is None or held is None:
            yield line(f"GPU {now.index}: the driver does not tell how much memory was taken")
            continue
        taken = data_size(max(0, held - used))
        yield line(f"GPU {now.index}: {taken} taken, {data_size(held)} in use")

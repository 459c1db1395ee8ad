"""The table of processes: rows, order and filter."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gpudoctor import units
from gpudoctor.model.orphan import Orphan, Verdict
from gpudoctor.model.process import GpuProcess, GpuUse
from gpudoctor.present.cells import NOTHING, Cell, Level, Row, cell
from gpudoctor.present.columns import Column
from gpudoctor.present.verdicts import (
    NO_VERDICTS,
    Verdicts,
    verdict_cell,
    verdict_level,
    verdict_of,
)

COLUMNS: tuple[Column, ...] = (
    Column("pid", "PID", 7, right=True),
    Column("user", "USER", 8, grow=1, most=16),
    Column("gpus", "GPU", 4, grow=1, most=10),
    Column("memory", "MEM GiB", 8, right=True),
    Column("sm", "SM", 4, rank=1, right=True),
    Column("cpu", "CPU", 5, rank=2, right=True),
    Column("host", "RAM GiB", 8, rank=3, right=True),
    Column("age", "AGE", 6, rank=1, right=True),
    Column("verdict", "VERDICT", 7, rank=4),
    Column("kind", "KIND", 8, rank=6),
    Column("state", "STATE", 9, rank=5),
    Column("parent", "PARENT", 7, rank=7, right=True),
    Column("command", "COMMAND", 16, grow=8, claim=5),
)

# A row without these says not what it is.
_ALWAYS = frozenset({"pid", "command"})
OPTIONAL: tuple[str, ...] = tuple(one.key for one in COLUMNS if one.key not in _ALWAYS)


@dataclass(frozen=True, slots=True)
class Order:
    """The column to sort by; `down` puts the greatest first."""

    key: str = "memory"
    down: bool = True


_STATES = {"zombie": Level.BAD, "parked": Level.NOTICE}
_Value = float | str | None
_URGENCY = {Verdict.ORPHAN: 2, Verdict.SUSPECT: 1}
_SORTS: dict[str, Callable[[GpuProcess], _Value]] = {
    "pid": lambda process: process.pid,
    "user": lambda process: process.user,
    "gpus": lambda process: min((use.index for use in process.gpus), default=None),
    "memory": lambda process: process.memory_used_bytes,
    "sm": lambda process: sm_ratio(process.gpus),
    "cpu": lambda process: process.cpu_ratio,
    "host": lambda process: process.host_memory_used_bytes,
    "age": lambda process: None if process.started is None else -process.started,
    "kind": lambda process: _kinds(process) or None,
    "state": lambda process: process.state,
    "parent": lambda process: process.parent_pid,
    "command": lambda process: " ".join(process.command) or process.name,
}
SORT_KEYS: tuple[str, ...] = tuple(column.key for column in COLUMNS)
# Names are read from a to z, amounts from the greatest down.
_UPWARD = frozenset({"pid", "user", "gpus", "kind", "state", "parent", "command"})


def natural(key: str) -> Order:
    """The order in which a column is first sorted."""
    return Order(key, key not in _UPWARD)


def ordered(
    processes: Iterable[GpuProcess], order: Order, verdicts: Verdicts = NO_VERDICTS
) -> list[GpuProcess]:
    """Sorted, the unknown always last, equals by pid so that rows do not change places."""

    def urgency(process: GpuProcess) -> _Value:
        judged = verdict_of(process, verdicts)
        return None if judged is None else _URGENCY.get(judged.verdict, 0)

    value = urgency if order.key == "verdict" else _SORTS[order.key]
    by_pid = sorted(processes, key=lambda process: process.pid)
    known = [process for process in by_pid if value(process) is not None]
    known.sort(key=value, reverse=order.down)  # type: ignore[arg-type]
    return known + [process for process in by_pid if value(process) is None]


def matching(processes: Sequence[GpuProcess], query: str) -> list[GpuProcess]:
    """Those in which every word of `query` occurs; `gpu:3`, `user:ana` and `pid:12` name a field."""
    words = query.casefold().split()
    return [process for process in processes if all(_has(process, word) for word in words)]


def _has(process: GpuProcess, word: str) -> bool:
    field, colon, wanted = word.partition(":")
    if colon and field in ("gpu", "user", "pid"):
        if not wanted:
            return True
        if field == "gpu":
            return wanted in {str(use.index) for use in process.gpus}
        if field == "pid":
            return wanted == str(process.pid)
        return wanted in (process.user or "").casefold()
    text = f"{process.pid} {process.user or ''} {process.name or ''} {' '.join(process.command)}"
    return word in text.casefold()


def sm_ratio(uses: Sequence[GpuUse]) -> float | None:
    """The greatest share of SM time that the process has on any of its GPUs."""
    return max((use.sm_ratio for use in uses if use.sm_ratio is not None), default=None)


def row_key(process: GpuProcess) -> str:
    """A process's identity as the key of its row."""
    return f"{process.pid}@{process.started}"


def process_row(
    process: GpuProcess, now: float, judged: Orphan | None = None, *, settled: bool = True
) -> Row:
    """The process as a row; `judged` is the verdict on it, where it may be left over.

    `settled` is whether it was watched for long enough that no verdict says something.
    """
    cells = (
        Cell(str(process.pid), Level.PLAIN if judged is None else verdict_level(judged)),
        _user(process),
        Cell(gpu_list(process.gpus)),
        cell(units.gibibytes(process.memory_used_bytes, 2)),
        _busy(sm_ratio(process.gpus)),
        _busy(process.cpu_ratio),
        cell(units.gibibytes(process.host_memory_used_bytes, 2)),
        cell(units.age(None if process.started is None else now - process.started)),
        verdict_cell(judged, settled=settled or process.state == "parked"),
        Cell(_kinds(process)),
        cell(units.text(process.state), _STATES.get(process.state or "", Level.PLAIN)),
        cell(units.text(process.parent_pid)),
        _command(process),
    )
    return Row(row_key(process), cells)


def tagged(row: Row) -> Row:
    """The row with a mark at its user; the pid has no room for one."""
    pid, user, *rest = row.cells
    return replace(row, cells=(pid, Cell(f"*{user.text}", Level.NOTICE), *rest))


def command_line(process: GpuProcess) -> str:
    """The command on one line, safe to show."""
    if not process.visible:
        return "(not visible from here: ended, or of another container or user)"
    return units.printable(" ".join(process.command) or units.text(process.name))


def shell_line(process: GpuProcess) -> str:
    """The command as a shell takes it; its name where the command is not known."""
    return shlex.join(process.command) or units.text(process.name)


def gpu_list(uses: Sequence[GpuUse]) -> str:
    """The GPUs in short form: `0-3,6`; a MIG instance is `2:1`."""
    parts: list[str] = []
    run: list[int] = []
    for index in sorted({use.index for use in uses if use.gpu_instance is None}):
        if run and index == run[-1] + 1:
            run.append(index)
            continue
        parts.extend(_span(run))
        run = [index]
    parts.extend(_span(run))
    parts += sorted(
        {f"{use.index}:{use.gpu_instance}" for use in uses if use.gpu_instance is not None}
    )
    return ",".join(parts)


def _span(run: list[int]) -> list[str]:
    if not run:
        return []
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"]


def _command(process: GpuProcess) -> Cell:
    # A narrow terminal has no room for the state.
    if process.state == "parked":
        return Cell(f"(parked) {command_line(process)}", Level.NOTICE)
    return Cell(command_line(process), Level.PLAIN if process.visible else Level.DIM)


def _kinds(process: GpuProcess) -> str:
    return " ".join(sorted({use.kind for use in process.gpus}))


def _user(process: GpuProcess) -> Cell:
    return NOTHING if process.user is None else Cell(units.printable(process.user))


def _busy(ratio: float | None) -> Cell:
    return cell(
        units.percent(ratio), Level.DIM if ratio is not None and ratio < 0.005 else Level.PLAIN
    )

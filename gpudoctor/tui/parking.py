"""Parking from the screen: which processes are parked, and the two deeds. No painting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.parked import Parked
from gpudoctor.model.parking import ParkOutcome, ParkResult
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Level
from gpudoctor.present.parked import done_lines, memory_lines, plan_lines, taken_lines
from gpudoctor.present.words import Words, line
from gpudoctor.tui.deeds import Done, Newest, RefusedError, Seeing

if TYPE_CHECKING:
    from gpudoctor.reclaim.park import Task

# The driver lists a process that was brought back within a look or two.
_PATIENCE_S = 5.0
ParkedRows = tuple[tuple[Parked, float], ...]


def parked_rows() -> ParkedRows:
    """The parked processes of this machine, each with its start in seconds since the epoch.

    Reads files, so never to be called in the painting thread.
    """
    from gpudoctor.host.parked import PROC, parked
    from gpudoctor.host.proc_files import TICKS_PER_SECOND, boot_time

    found = parked()
    booted = boot_time(PROC) if found else 0.0
    return tuple((one, booted + one.start_ticks / TICKS_PER_SECOND) for one in found)


class _Parking:
    """What both deeds have in common: each process is looked at, and asked about, one by one."""

    action = ""
    title = ""

    def __init__(self, rows: Sequence[GpuProcess], newest: Newest, see: Seeing) -> None:
        self._rows = tuple(rows)
        self._newest = newest
        self._see = see
        self._tasks: tuple[Task, ...] = ()

    def _look(self, plan: Callable[[int], Task]) -> tuple[Words, ...]:
        from gpudoctor.reclaim.park import planned

        tasks: list[Task] = []
        missing: list[GpuDoctorError] = []
        for row in self._rows:
            try:
                tasks.append(_planned(row, plan))
            except GpuDoctorError as error:
                missing.append(error)
        if missing and not tasks:
            raise missing[0]
        self._tasks = tuple(tasks)
        lines = [words for one in planned(self._tasks) for words in plan_lines(one)]
        lines += [_left_out(error) for error in missing]
        if all(task.refused for task in self._tasks):
            why = line("Nothing can be done: what is marked `no` stands in the way.", Level.WARN)
            raise RefusedError((*lines, line(""), why))
        return tuple(lines)

    def _each(self, work: Callable[[Task], ParkResult]) -> tuple[list[ParkResult], list[Words]]:
        """What came of each, and why some could not be done: one that has ended stops no other."""
        results: list[ParkResult] = []
        lines: list[Words] = []
        for task in self._tasks:
            try:
                results.append(work(task))
            except GpuDoctorError as error:
                lines.append(_left_out(error))
            else:
                lines += done_lines(results[-1], self.action)
        return results, lines


def _planned(row: GpuProcess, plan: Callable[[int], Task]) -> Task:
    from gpudoctor.reclaim.identity import identity

    started = identity(row.pid, row.started)
    task = plan(row.pid)
    if task.record.start_ticks != started:
        raise GpuDoctorError(f"process {row.pid} has ended meanwhile")
    return task


def _left_out(error: GpuDoctorError) -> Words:
    why = f" ({error.cause})" if error.cause else ""
    return line(f"  left out: {error.message}{why}", Level.WARN)


class Park(_Parking):
    """Moves all GPU memory of processes to the host's; they stand still until they are brought back."""

    action = "park"
    title = "Park"

    def prepare(self) -> tuple[Words, ...]:
        """What stands in the way, and what is to be known before."""
        from gpudoctor.reclaim.park import plan_park

        before = self._newest() or self._see()
        return (
            line("All of their GPU memory will be moved to the host's memory:"),
            *self._look(lambda pid: plan_park(pid, before)),
            line(""),
            line("They stand still at their next CUDA call until they are unparked.", Level.DIM),
        )

    def do(self) -> Done:
        """Parks them, and asks the driver what came back."""
        from gpudoctor.reclaim.park import park
        from gpudoctor.reclaim.returned import watch_memory

        before = self._newest() or self._see()
        results, lines = self._each(park)
        done = {one.pid for one in results if one.outcome is ParkOutcome.PARKED}
        memory = watch_memory(before, done, self._see)[0] if done else ()
        return Done((*lines, *memory_lines(memory)), len(done) == len(self._tasks))


class Unpark(_Parking):
    """Brings parked processes back to their GPUs."""

    action = "unpark"
    title = "Unpark"

    def prepare(self) -> tuple[Words, ...]:
        """Whether there is room for them."""
        from gpudoctor.reclaim.park import plan_unpark

        now = self._newest() or self._see()
        return (
            line("They will get their GPU memory back and go on:"),
            *self._look(lambda pid: plan_unpark(pid, now)),
        )

    def do(self) -> Done:
        """Brings them back, each looked at anew: the one before it has just taken memory."""
        from gpudoctor.reclaim.identity import check_same
        from gpudoctor.reclaim.park import plan_unpark, unpark

        before = self._newest() or self._see()
        first = self._tasks[0]

        def bring_back(task: Task) -> ParkResult:
            check_same(task.record.pid, task.record.start_ticks)
            return unpark(task if task is first else plan_unpark(task.record.pid, self._see()))

        results, lines = self._each(bring_back)
        done = {one.pid for one in results if one.outcome is ParkOutcome.RUNNING}
        return Done((*lines, *self._taken(before, done)), len(done) == len(self._tasks))

    def _taken(self, before: Snapshot, pids: set[int]) -> list[Words]:
        """What their GPUs hold more than before, once the driver lists them again."""
        if not pids:
            return []
        end = time.monotonic() + _PATIENCE_S
        after = self._see()
        while not pids <= {row.pid for row in after.processes} and time.monotonic() < end:
            after = self._see()
        uuids = [
            share.uuid
            for task in self._tasks
            if task.record.pid in pids
            for share in task.record.gpus
        ]
        return list(taken_lines(before, after, dict.fromkeys(uuids)))

"""Parking from the screen: which processes are parked, and the two deeds. No painting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.parked import Parked
from gpudoctor.model.parking import ParkOutcome
from gpudoctor.model.process import GpuProcess
from gpudoctor.present.cells import Level
from gpudoctor.present.parked import done_lines, memory_lines, plan_lines
from gpudoctor.present.words import Words, line
from gpudoctor.tui.deeds import Done, Newest, RefusedError, Seeing

if TYPE_CHECKING:
    from gpudoctor.reclaim.park import Task

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
        from gpudoctor.reclaim.identity import identity
        from gpudoctor.reclaim.park import planned

        started = {row.pid: identity(row.pid, row.started) for row in self._rows}
        self._tasks = tuple(plan(pid) for pid in started)
        for task in self._tasks:
            if task.record.start_ticks != started[task.record.pid]:
                raise GpuDoctorError(f"process {task.record.pid} has ended meanwhile")
        lines = [words for one in planned(self._tasks) for words in plan_lines(one)]
        if all(task.refused for task in self._tasks):
            why = line("Nothing can be done: what is marked `no` stands in the way.", Level.WARN)
            raise RefusedError((*lines, line(""), why))
        return tuple(lines)


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
        results = [park(task) for task in self._tasks]
        done = {one.pid for one in results if one.outcome is ParkOutcome.PARKED}
        memory = watch_memory(before, done, self._see)[0] if done else ()
        lines = [words for one in results for words in done_lines(one, self.action)]
        return Done((*lines, *memory_lines(memory)), len(done) == len(results))


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

        results = []
        for number, task in enumerate(self._tasks):
            check_same(task.record.pid, task.record.start_ticks)
            again = plan_unpark(task.record.pid, self._see()) if number else task
            results.append(unpark(again))
        lines = [words for one in results for words in done_lines(one, self.action)]
        return Done(tuple(lines), all(one.outcome is ParkOutcome.RUNNING for one in results))

"""What can be done to a process from the screen: says first what it will do, then does it. No painting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.ending import Outcome, Target
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Level
from gpudoctor.present.ending import cache_lines, plan_lines, report_lines
from gpudoctor.present.words import Words, line

# Seeing waits for the next look; Newest is the last one that there was.
Seeing = Callable[[], Snapshot]
Newest = Callable[[], Snapshot | None]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a deed; `ok` is False where it did not do what was asked."""

    lines: tuple[Words, ...]
    ok: bool = True


class RefusedError(GpuDoctorError):
    """Conditions stand in the way of a deed; `lines` tell which."""

    def __init__(self, lines: tuple[Words, ...]) -> None:
        super().__init__("conditions stand in the way")
        self.lines = lines


class Deed(Protocol):
    """Both functions take time and raise GpuDoctorError with the reason where it cannot be done."""

    title: str

    def prepare(self) -> tuple[Words, ...]:
        """What will be done to whom; touches nothing."""
        ...

    def do(self) -> Done:
        """Does it, after `prepare`."""
        ...


class End:
    """Ends processes by one signal, or gently first."""

    def __init__(
        self, rows: Sequence[GpuProcess], signal: str | None, newest: Newest, see: Seeing
    ) -> None:
        self.title = "End" if signal is None else f"Send SIG{signal}"
        self._rows = tuple(rows)
        self._signal = signal
        self._newest = newest
        self._see = see
        self._targets: tuple[Target, ...] = ()

    def prepare(self) -> tuple[Words, ...]:
        """The plan: who gets which signals, in which order."""
        from gpudoctor.reclaim.ending import steps
        from gpudoctor.reclaim.identity import identity
        from gpudoctor.reclaim.plan import plan

        started = {row.pid: identity(row.pid, row.started) for row in self._rows}
        self._targets = plan(tuple(started), self._newest())
        for target in self._targets:
            if started.get(target.pid, target.start_ticks) != target.start_ticks:
                raise GpuDoctorError(f"process {target.pid} has ended meanwhile")
        patience = ", then ".join(
            f"{step.signal.name} (given {step.grace_s:g} s)" for step in steps(self._signal)
        )
        return (line("To be ended:"), *plan_lines(self._targets), line(""), line(f"By {patience}."))

    def do(self) -> Done:
        """Ends them and waits for their memory."""
        from gpudoctor.reclaim.ending import carry_out, steps

        # Not a new look: where looks are minutes apart, nobody would be ended for so long.
        before = self._newest()
        report = carry_out(self._targets, steps(self._signal), before, self._see)
        over = all(end.outcome in (Outcome.ENDED, Outcome.GONE) for end in report.endings)
        return Done(tuple(report_lines(report)), over)


class EmptyCache:
    """Gives back what torch keeps cached inside a process that lives on."""

    title = "Empty torch's cache"

    def __init__(self, row: GpuProcess, newest: Newest, see: Seeing) -> None:
        self._row = row
        self._newest = newest
        self._see = see
        self._start_ticks = 0

    def prepare(self) -> tuple[Words, ...]:
        """What is run inside, after it was looked whether the process is idle and can be entered."""
        from gpudoctor.reclaim.agents import listens
        from gpudoctor.reclaim.cache import check_idle
        from gpudoctor.reclaim.entrance import entrance
        from gpudoctor.reclaim.identity import identity

        row = self._row
        self._start_ticks = identity(row.pid, row.started)
        check_idle(row)
        what = line(
            f"torch.cuda.empty_cache() will be run inside process {row.pid}, which lives on."
        )
        stays = line("Its live tensors and its CUDA context stay where they are.", Level.DIM)
        if listens(row.pid):
            return (what, line("Its gpudoctor agent does it."), stays)
        version = ".".join(map(str, entrance(row.pid).version))
        way = (
            f"It is entered: a thread of its Python {version} stands still for about a millisecond."
        )
        return (what, line(way), stays)

    def do(self) -> Done:
        """Empties it and asks the driver, too, what came back."""
        from gpudoctor.reclaim.cache import check_idle, empty_cache
        from gpudoctor.reclaim.identity import check_same

        newest = self._newest()
        for row in newest.processes if newest else ():
            if row.pid == self._row.pid:
                check_idle(row)
        check_same(self._row.pid, self._start_ticks)
        report = empty_cache(self._row.pid, see=self._see)
        return Done(tuple(cache_lines(report)), report.status == "emptied")


class Stacks:
    """Shows where each thread of a Python process is."""

    title = "Python stacks"
    repeats = True

    def __init__(self, row: GpuProcess) -> None:
        self._row = row
        self._start_ticks = 0
        self._py_spy = ""

    def prepare(self) -> tuple[Words, ...]:
        """What py-spy does."""
        from gpudoctor.profile.dump import can_dump
        from gpudoctor.reclaim.identity import identity

        pid = self._row.pid
        self._start_ticks = identity(pid, self._row.started)
        self._py_spy = can_dump(pid)
        return (
            line(f"py-spy will read the stacks of process {pid} from outside."),
            line("It stands still while it is read: milliseconds, as a rule.", Level.DIM),
        )

    def do(self) -> Done:
        """Reads them."""
        from gpudoctor.profile.dump import dump
        from gpudoctor.reclaim.identity import check_same

        check_same(self._row.pid, self._start_ticks)
        return Done(tuple(_stack_lines(dump(self._py_spy, self._row.pid))))


def _stack_lines(lines: Iterable[str]) -> Iterable[Words]:
    for text in lines:
        yield line(text, Level.NOTICE if text.startswith("Thread ") else Level.PLAIN)


def failure(error: GpuDoctorError) -> tuple[Words, ...]:
    """Why something could not be done, as lines."""
    if isinstance(error, RefusedError):
        return error.lines
    lines = [line(error.message[:1].upper() + error.message[1:] + ".", Level.WARN)]
    if error.cause:
        lines.append(line(f"Cause: {error.cause}"))
    if error.hint:
        lines += [line(text, Level.DIM) for text in error.hint.splitlines()]
    return tuple(lines)

"""What `kill` and `orphans --kill` share: the plan, the question, the end, and the watch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gpudoctor.cli.acting import confirm

if TYPE_CHECKING:
    from gpudoctor.model.ending import Ending, KillReport, Target
    from gpudoctor.model.snapshot import Snapshot
    from gpudoctor.reclaim.execute import Step

SIGNALS = ("INT", "TERM", "KILL", "HUP", "QUIT", "USR1", "USR2")


def steps(name: str | None = None, grace_s: float | None = None) -> tuple[Step, ...]:
    """The usual ladder, or the one signal of that name; `grace_s` replaces the usual patience."""
    from gpudoctor.reclaim import ending

    return ending.steps(name, grace_s)


def end_and_watch(
    pids: Sequence[int],
    see: Callable[[], Snapshot] | None,
    ladder: tuple[Step, ...],
    *,
    dry_run: bool = False,
    yes: bool = False,
    quiet: bool = False,
) -> KillReport:
    """Plans, asks (unless `yes`), ends, and watches the memory come back where `see` can look."""
    from gpudoctor.model.ending import KillReport
    from gpudoctor.reclaim.ending import carry_out
    from gpudoctor.reclaim.plan import plan

    before = see() if see else None
    targets = plan(pids, before)
    if dry_run:
        return KillReport(True, targets)
    if not (yes and quiet):
        _announce(targets)
    if not yes:
        confirm("End them?")
    return carry_out(targets, ladder, before, see)


def is_over(ending: Ending) -> bool:
    """Whether that process is gone, by us or before us."""
    return str(ending.outcome) in ("ended", "gone")


def show(report: KillReport) -> None:
    """Prints what became of the processes and of their memory."""
    from gpudoctor.render.ending import report_lines
    from gpudoctor.render.text import console

    console().print(*report_lines(report), sep="\n")


def _announce(targets: tuple[Target, ...]) -> None:
    from gpudoctor.render.ending import plan_lines
    from gpudoctor.render.text import console

    console(stderr=True).print(*plan_lines(targets), sep="\n")

"""`gpudoctor kill PID...`: ends processes and watches until their GPU memory came back."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gpudoctor.cli.watching import watching
from gpudoctor.errors import ExitCode, GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.model.ending import KillReport, Target
    from gpudoctor.model.snapshot import Snapshot
    from gpudoctor.reclaim.execute import Step

    Seeing = Callable[[], Snapshot]

_SIGNALS = ("INT", "TERM", "KILL", "HUP", "QUIT", "USR1", "USR2")


@click.command()
@click.argument("pids", nargs=-1, required=True, type=click.IntRange(1), metavar="PID...")
@click.option(
    "--signal",
    "name",
    type=click.Choice(_SIGNALS, case_sensitive=False),
    help="Send only this signal. Without it: INT, then TERM, then KILL.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long each signal is given to work.  [default: 5 for INT, 10 for TERM and KILL]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be ended, and end nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.kill/1).")
@click.pass_context
def kill(
    ctx: click.Context,
    pids: tuple[int, ...],
    name: str | None,
    grace: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """End processes, gently first, and say how much GPU memory came back.

    Every signal goes through a pidfd after the process's start time was compared, so that no later
    owner of the pid can be hit. The machine's own daemons, systemd's services and gpudoctor's own
    parents are refused. Exit code 1 when a process is still there.
    """
    if ctx.obj["demo"] or ctx.obj["replay"]:
        raise GpuDoctorError("the processes of a simulated or recorded machine cannot be ended")
    with watching("memory", "processes") as see:
        report = _kill(pids, _steps(name, grace), see, dry_run=dry_run, yes=yes, quiet=as_json)
    _show(report, as_json)
    if any(str(ending.outcome) not in ("ended", "gone") for ending in report.endings):
        ctx.exit(ExitCode.FINDINGS)


def _steps(name: str | None, grace: float | None) -> tuple[Step, ...]:
    from gpudoctor.reclaim.execute import LADDER, Step

    ladder: tuple[Step, ...] = LADDER
    if name is not None:
        wanted = signal.Signals[f"SIG{name.upper()}"]
        ladder = (Step(wanted, next((s.grace_s for s in LADDER if s.signal is wanted), 10.0)),)
    return ladder if grace is None else tuple(replace(step, grace_s=grace) for step in ladder)


def _kill(
    pids: tuple[int, ...],
    steps: tuple[Step, ...],
    see: Seeing | None,
    *,
    dry_run: bool,
    yes: bool,
    quiet: bool,
) -> KillReport:
    from gpudoctor.model.ending import KillReport
    from gpudoctor.reclaim.execute import end
    from gpudoctor.reclaim.plan import plan
    from gpudoctor.reclaim.returned import watch_memory

    before = see() if see else None
    targets = plan(pids, before)
    if dry_run:
        return KillReport(True, targets)
    if not yes:
        _ask(targets)
    elif not quiet:
        _announce(targets)
    endings = end(targets, steps)
    if see is None or before is None:
        return KillReport(False, targets, endings)
    memory, waited = watch_memory(before, {target.pid for target in targets}, see)
    return KillReport(False, targets, endings, memory, waited)


def _announce(targets: tuple[Target, ...]) -> None:
    from gpudoctor.render.ending import plan_lines
    from gpudoctor.render.text import console

    console(stderr=True).print(*plan_lines(targets), sep="\n")


def _ask(targets: tuple[Target, ...]) -> None:
    _announce(targets)
    if not sys.stdin.isatty():
        raise GpuDoctorError(
            "nobody is there to confirm this", hint="Add --yes, or --dry-run to only look."
        )
    click.confirm("End them?", abort=True, err=True)


def _show(report: KillReport, as_json: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.kill/1", to_builtins(report)))
        return
    from gpudoctor.render.ending import report_lines
    from gpudoctor.render.text import console

    console().print(*report_lines(report), sep="\n")

"""`gpudoctor park PID...` and `unpark`: move a process's GPU memory to the host, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpudoctor.cli.acting import confirm, driver, only_live
from gpudoctor.errors import ExitCode, GpuDoctorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudoctor.model.parking import ParkReport
    from gpudoctor.reclaim.park import Task

_COLLECTORS = ("memory", "mig", "health", "processes")

_dry_run = click.option("--dry-run", is_flag=True, help="Only check what stands in the way.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_timeout = click.option(
    "--timeout",
    type=click.FloatRange(1, 86_400),
    metavar="SECONDS",
    help="How long the driver is waited for.  [default: 180, and 1 for each GB]",
)


@click.command()
@click.argument("pids", nargs=-1, required=True, type=click.IntRange(1), metavar="PID...")
@click.option(
    "--lock-timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="How long the work that is on the GPU may take to end.",
)
@_timeout
@_dry_run
@_yes
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.park/1).")
@click.pass_context
def park(
    ctx: click.Context,
    pids: tuple[int, ...],
    lock_timeout: float,
    timeout: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Suspend CUDA processes: all of their GPU memory goes to host memory, and they live on.

    Uses the driver's checkpoint functions (driver 575 or newer, x86-64). Their CPU threads go on;
    CUDA calls wait until `gpudoctor unpark`. Every condition is checked before anything is called.
    Exit code 1 when a process was not parked.
    """
    only_live(ctx, "processes")
    from gpudoctor.model.parking import ParkOutcome, ParkReport
    from gpudoctor.reclaim.park import park as park_one
    from gpudoctor.reclaim.park import plan_park, planned
    from gpudoctor.reclaim.returned import watch_memory

    with driver(_COLLECTORS) as see:
        before = see()
        tasks = [plan_park(pid, before) for pid in dict.fromkeys(pids)]
        if dry_run:
            _show(ParkReport("park", True, planned(tasks)), as_json)
            ctx.exit(_code(ParkReport("park", True, planned(tasks))))
        _ask(tasks, "Park", yes=yes, quiet=as_json)
        results = [park_one(task, lock_s=lock_timeout, limit_s=timeout) for task in tasks]
        done = {one.pid for one in results if one.outcome is ParkOutcome.PARKED}
        memory = watch_memory(before, done, see)[0] if done else ()
    report = ParkReport("park", False, tuple(results), memory)
    _show(report, as_json)
    ctx.exit(_code(report))


@click.command()
@click.argument("pids", nargs=-1, type=click.IntRange(1), metavar="[PID...]")
@click.option("--all", "everything", is_flag=True, help="Every process that is noted as parked.")
@_timeout
@_dry_run
@_yes
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.park/1).")
@click.pass_context
def unpark(
    ctx: click.Context,
    pids: tuple[int, ...],
    everything: bool,
    timeout: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring parked processes back to their GPUs, and let their CUDA calls go on.

    The GPUs must have as much memory free as the processes held. Exit code 1 when a process did not
    come back.
    """
    only_live(ctx, "processes")
    from gpudoctor.model.parking import ParkReport
    from gpudoctor.reclaim.park import plan_unpark, planned
    from gpudoctor.reclaim.park import unpark as unpark_one

    with driver(_COLLECTORS) as see:
        tasks: list[Task] = []
        results = []
        for pid in _chosen(pids, everything):
            # Each is looked at anew: the one before it has just taken memory.
            task = plan_unpark(pid, see())
            tasks.append(task)
            if not dry_run:
                _ask([task], "Bring back", yes=yes, quiet=as_json)
                results.append(unpark_one(task, limit_s=timeout))
    report = ParkReport("unpark", dry_run, planned(tasks) if dry_run else tuple(results))
    _show(report, as_json)
    ctx.exit(_code(report))


def _chosen(pids: tuple[int, ...], everything: bool) -> tuple[int, ...]:
    from gpudoctor.host.parked import parked

    if everything and pids:
        raise GpuDoctorError("--all and pids exclude each other", hint="Give one of them.")
    if everything:
        return tuple(record.pid for record in parked())
    if not pids:
        raise GpuDoctorError(
            "which process?", hint="Give a pid that `gpudoctor ps` shows as parked, or --all."
        )
    return tuple(dict.fromkeys(pids))


def _ask(tasks: Sequence[Task], verb: str, *, yes: bool, quiet: bool) -> None:
    open_tasks = [task for task in tasks if not task.refused]
    if not open_tasks or (yes and quiet):
        return
    from gpudoctor.reclaim.park import planned
    from gpudoctor.render.parking import plan_lines
    from gpudoctor.render.text import console

    console(stderr=True).print(*plan_lines(planned(open_tasks)), sep="\n")
    if not yes:
        them = "it" if len(open_tasks) == 1 else "them"
        confirm(f"{verb} {them}?")


def _code(report: ParkReport) -> ExitCode:
    from gpudoctor.model.parking import ParkOutcome

    fine = {"park": ParkOutcome.PARKED, "unpark": ParkOutcome.RUNNING}[report.action]
    good = all(one.outcome in (fine, ParkOutcome.PLANNED) for one in report.results)
    return ExitCode.OK if good else ExitCode.FINDINGS


def _show(report: ParkReport, as_json: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.park/1", to_builtins(report)))
        return
    from gpudoctor.render.parking import report_lines
    from gpudoctor.render.text import console

    console().print(*report_lines(report), sep="\n")

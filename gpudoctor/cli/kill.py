"""`gpudoctor kill PID...`: ends processes and watches until their GPU memory came back."""

from __future__ import annotations

import click

from gpudoctor.cli.acting import only_live
from gpudoctor.cli.ending import SIGNALS, end_and_watch, is_over, show, steps
from gpudoctor.cli.watching import watching
from gpudoctor.errors import ExitCode


@click.command()
@click.argument("pids", nargs=-1, required=True, type=click.IntRange(1), metavar="PID...")
@click.option(
    "--signal",
    "name",
    type=click.Choice(SIGNALS, case_sensitive=False),
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
    only_live(ctx, "the processes", "ended")
    with watching("memory", "processes") as see:
        report = end_and_watch(
            pids, see, steps(name, grace), dry_run=dry_run, yes=yes, quiet=as_json
        )
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.kill/1", to_builtins(report)))
    else:
        show(report)
    if not all(is_over(ending) for ending in report.endings):
        ctx.exit(ExitCode.FINDINGS)

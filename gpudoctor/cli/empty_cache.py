"""`gpudoctor empty-cache PID`: gives back what torch keeps cached inside a live process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpudoctor.cli.acting import confirm, only_live
from gpudoctor.cli.watching import watching
from gpudoctor.errors import ExitCode

if TYPE_CHECKING:
    from gpudoctor.model.snapshot import Snapshot


@click.command("empty-cache")
@click.argument("pid", type=click.IntRange(1))
@click.option("--deep", is_flag=True, help="Drop stored exceptions and collect garbage first.")
@click.option(
    "--force", is_flag=True, help="Also where the GPU is busy or segments are expandable."
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.5, 600),
    metavar="SECONDS",
    help="Withdraw the request when it has not begun by then.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one object (gpudoctor.empty-cache/1).")
@click.pass_context
def empty_cache(
    ctx: click.Context,
    pid: int,
    deep: bool,
    force: bool,
    timeout: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Run torch.cuda.empty_cache() inside process PID, which goes on as before.

    The process needs no preparation. Its main thread stands still for about a millisecond, in which
    it starts a thread that empties the cache. Live tensors and the CUDA context stay. Exit code 1
    when nothing was emptied.
    """
    only_live(ctx, "the processes", "entered")
    from gpudoctor.reclaim.cache import empty_cache as run_inside

    if not yes:
        _ask(pid)
    with watching("memory", "utilization", "processes") as see:
        if see is not None and not force:
            _check_idle(pid, see())
        report = run_inside(pid, force=force, deep=deep, timeout_s=timeout, see=see)
    from gpudoctor.reclaim.audit import told

    click.echo(told(report), err=True)
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.empty-cache/1", to_builtins(report)))
    else:
        from gpudoctor.render.cache import report_lines
        from gpudoctor.render.text import console

        console().print(*report_lines(report), sep="\n")
    if report.status != "emptied":
        ctx.exit(ExitCode.FINDINGS)


def _ask(pid: int) -> None:
    from gpudoctor.host.missing import PROC, no_process
    from gpudoctor.host.proc_files import read_stat
    from gpudoctor.units import printable

    stat = read_stat(PROC, pid)
    if stat is None:  # told now, not after the answer
        raise no_process(pid)
    who = f"process {pid} ({printable(stat.name)})"
    click.echo(f"This runs code inside {who}: torch.cuda.empty_cache().", err=True)
    confirm("Go on?")


def _check_idle(pid: int, snapshot: Snapshot) -> None:
    from gpudoctor.reclaim.cache import check_idle

    row = next((one for one in snapshot.processes if one.pid == pid), None)
    if row is not None:
        check_idle(row)

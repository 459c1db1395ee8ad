"""`gpudoctor orphans`: what is left over on the GPUs, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gpudoctor.cli.acting import only_live
from gpudoctor.cli.attach import attached_look, no_daemon
from gpudoctor.cli.ending import end_and_watch, is_over, show, steps
from gpudoctor.cli.sources import open_machine
from gpudoctor.errors import ExitCode

if TYPE_CHECKING:
    from gpudoctor.model.ending import KillReport
    from gpudoctor.model.orphan import Orphan
    from gpudoctor.model.snapshot import Snapshot

COLLECTORS = ("memory", "utilization", "mig", "processes")
LOOK_S = 5.0


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Show the processes in use, too.")
@click.option(
    "--window",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="How long to watch whether doubtful processes do anything; 0: do not wait.",
)
@click.option("--kill", "ends", is_flag=True, help="End the orphans that are yours, after asking.")
@click.option("--yes", is_flag=True, help="With --kill: do not ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.orphans/1)."
)
@no_daemon
@click.pass_context
def orphans(
    ctx: click.Context,
    /,
    show_all: bool,
    window: float,
    ends: bool,
    yes: bool,
    as_json: bool,
    no_daemon: bool,
) -> None:
    """List what is left over on the GPUs: orphans and suspects, each with reasons and offers.

    Without --kill nothing is ended or changed. Exit code 1 when there is (still) an orphan.
    """
    from gpudoctor.model.orphan import Verdict
    from gpudoctor.reclaim.looking import local_look, look_and_judge, played_look

    played = bool(ctx.obj["demo"] or ctx.obj["replay"])
    if ends:
        only_live(ctx, "the processes", "ended")
    report: KillReport | None = None
    # Who ends processes looks for himself.
    directly = played or ends or no_daemon or ctx.obj["no_daemon"]
    with _seeing(ctx, may_attach=not directly) as see:
        judged = look_and_judge(
            see,
            played_look if played else local_look,
            window_s=window,
            tell=lambda count: _tell(count, window),
        )
        found = [one for one in judged.orphans if one.verdict is Verdict.ORPHAN]
        if not as_json:
            _print(judged.orphans, show_all, judged.watched_seconds)
        if ends:
            report = _end(found, see, yes=yes, quiet=as_json)
    if as_json:
        _print_json(judged.orphans, show_all, judged.watched_seconds, report)
    elif report is not None:
        show(report)
    if _left(found, report):
        ctx.exit(ExitCode.FINDINGS)


@contextmanager
def _seeing(ctx: click.Context, *, may_attach: bool) -> Iterator[Callable[[], Snapshot]]:
    """A way to look at the GPUs: through the daemon where one can be used, else through the driver."""
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    look = attached_look() if may_attach else None
    if look is not None:
        yield look
        return
    with open_machine(ctx.obj["demo"], ctx.obj["replay"]) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        chosen = tuple(item for item in registered() if item.name in COLLECTORS)
        sampler = Sampler(machine.nvml, machine.host, collectors=chosen, reopen=machine.reopen)
        try:
            yield lambda: sampler.once(LOOK_S)
        finally:
            sampler.stop()


def _end(
    found: Sequence[Orphan], see: Callable[[], Snapshot], *, yes: bool, quiet: bool
) -> KillReport | None:
    """Ends those that are ours and that a signal can end; nobody else's, not even for root."""
    pids = [
        one.pid for one in found if one.mine and any(offer.action == "kill" for offer in one.offers)
    ]
    if not pids:
        click.echo("There is nothing of yours to end.", err=True)
        return None
    return end_and_watch(pids, see, steps(), yes=yes, quiet=quiet)


def _left(found: Sequence[Orphan], report: KillReport | None) -> bool:
    """Whether an orphan is left; the memory of a dead process goes with those that held it open."""
    if report is None:
        return bool(found)
    over = {ending.pid for ending in report.endings if is_over(ending)}
    return any(one.pid not in over and one.key.started is not None for one in found)


def _tell(count: int, window_s: float) -> None:
    noun = "process" if count == 1 else "processes"
    text = f"Watching {count} {noun} for {window_s:.0f} s to see whether they do anything"
    click.echo(f"{text} (--window 0: do not wait).", err=True)


def _shown(judged: Sequence[Orphan], show_all: bool) -> tuple[tuple[Orphan, ...], int]:
    in_use = sum(one.verdict == "in use" for one in judged)
    return tuple(one for one in judged if show_all or one.verdict != "in use"), in_use


def _print(judged: Sequence[Orphan], show_all: bool, watched_s: float) -> None:
    from gpudoctor.render.orphans import report
    from gpudoctor.render.text import console

    shown, in_use = _shown(judged, show_all)
    console().print(*report(shown, in_use, watched_s), sep="\n")


def _print_json(
    judged: Sequence[Orphan], show_all: bool, watched_s: float, report: KillReport | None
) -> None:
    from gpudoctor.model.codec import envelope, to_builtins

    shown, in_use = _shown(judged, show_all)
    body = {
        "watched_seconds": watched_s,
        "in_use": in_use,
        "orphans": [to_builtins(one) for one in shown],
        "kill": None if report is None else to_builtins(report),
    }
    click.echo(envelope("gpudoctor.orphans/1", body))

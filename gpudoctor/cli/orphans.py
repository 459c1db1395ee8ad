"""`gpudoctor orphans`: what is left over on the GPUs, why, and what to do about it."""

from __future__ import annotations

from typing import Any

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.errors import ExitCode

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
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.orphans/1)."
)
@click.pass_context
def orphans(ctx: click.Context, show_all: bool, window: float, as_json: bool) -> None:
    """List what is left over on the GPUs: orphans and suspects, each with reasons and offers.

    Nothing is ended or changed. Exit code 1 when there is an orphan.
    """
    from gpudoctor.model.orphan import Verdict
    from gpudoctor.reclaim.looking import local_look, look_and_judge, played_look
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    played = bool(ctx.obj["demo"] or ctx.obj["replay"])
    with open_machine(ctx.obj["demo"], ctx.obj["replay"]) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        chosen = tuple(item for item in registered() if item.name in COLLECTORS)
        sampler = Sampler(machine.nvml, machine.host, collectors=chosen, reopen=machine.reopen)
        try:
            judged = look_and_judge(
                lambda: sampler.once(LOOK_S),
                played_look if played else local_look,
                window_s=window,
                tell=lambda count: _tell(count, window),
            )
        finally:
            sampler.stop()
    shown = tuple(one for one in judged.orphans if show_all or one.verdict is not Verdict.IN_USE)
    in_use = sum(one.verdict is Verdict.IN_USE for one in judged.orphans)
    if as_json:
        _print_json(shown, in_use, judged.watched_seconds)
    else:
        from gpudoctor.render.orphans import report
        from gpudoctor.render.text import console

        console().print(*report(shown, in_use, judged.watched_seconds), sep="\n")
    if any(one.verdict is Verdict.ORPHAN for one in judged.orphans):
        ctx.exit(ExitCode.FINDINGS)


def _tell(count: int, window_s: float) -> None:
    noun = "process" if count == 1 else "processes"
    text = f"Watching {count} {noun} for {window_s:.0f} s to see whether they do anything"
    click.echo(f"{text} (--window 0: do not wait).", err=True)


def _print_json(shown: tuple[Any, ...], in_use: int, watched_s: float) -> None:
    from gpudoctor.model.codec import envelope, to_builtins

    body = {
        "watched_seconds": watched_s,
        "in_use": in_use,
        "orphans": [to_builtins(one) for one in shown],
    }
    click.echo(envelope("gpudoctor.orphans/1", body))

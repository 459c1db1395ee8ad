"""`gpudoctor history`: what the flight recorder remembers."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gpudoctor.cli.moments import Moment

_SYSTEM = Path("/var/lib/gpudoctor")


@click.command()
@click.option("--since", type=Moment(), default="1h", show_default=True, help="2h, 03:00, a date …")
@click.option("--until", type=Moment(), help="The same.  [now]")
@click.option("--gpu", metavar="GPU", help="Only this GPU: its index, or how its UUID begins.")
@click.option("--pid", type=int, help="Only this process and its GPUs.")
@click.option(
    "--events",
    "only_events",
    is_flag=True,
    help="Only events: Xids, findings, orphans, silent GPUs.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.history/1)."
)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read this history.  [that of your daemon, or of the system's]",
)
def history(
    since: float,
    until: float | None,
    gpu: str | None,
    pid: int | None,
    only_events: bool,
    as_json: bool,
    path: Path | None,
) -> None:
    """Show what happened on the GPUs: their work, their processes, their errors.

    It is what a running `gpudoctor serve` has recorded: every sample of the last hour, every ten
    seconds of the last day, every minute of the last thirty days. A star marks processes that were
    still there at the last sample.
    """
    from gpudoctor.history.reader import read_history

    end = time.time() if until is None else until
    if end <= since:
        raise click.UsageError("--until lies before --since.")
    told = read_history(path or found(), since=since, until=end, gpu=gpu, pid=pid)
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.history/1", to_builtins(told)))
        return
    from gpudoctor.render import history as drawn
    from gpudoctor.render.text import console

    out = console()
    if only_events:
        out.print(
            drawn.events(told)
            if told.events or told.notes
            else "No event was recorded in this time."
        )
        return
    for part in drawn.page(told, width=out.width):
        out.print(part)


def found() -> Path:
    """The history of this user's daemon, else that of the system's if there is one."""
    from gpudoctor.history.database import FILE, default_path

    mine, systems = default_path(), _SYSTEM / FILE
    return systems if not mine.exists() and systems.exists() else mine

"""`gpudoctor history`: what the flight recorder remembers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpudoctor.cli.moments import Moment
from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.history.values import History

_SYSTEM = Path("/var/lib/gpudoctor")


@click.command()
@click.option("--since", type=Moment(), default="1h", show_default=True, help="2h, 03:00, a date …")
@click.option("--until", type=Moment(), help="The same.  [now]")
@click.option("--gpu", metavar="GPU", help="Only this GPU: its index, or how its UUID begins.")
@click.option(
    "--pid", type=click.IntRange(1), metavar="PID", help="Only this process and its GPUs."
)
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
    end = time.time() if until is None else until
    if end <= since:
        raise click.UsageError("--until lies before --since.")
    told = _read(path, since, end, gpu, pid)
    given = click.get_current_context().obj or {}
    if path is None and (given.get("demo") or given.get("replay")):
        click.echo(
            "What this machine's daemon recorded: --demo and --replay have no history.", err=True
        )
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


def _read(
    path: Path | None, since: float, until: float, gpu: str | None, pid: int | None
) -> History:
    """What the file tells, or the daemon that writes it where this user may not read it."""
    from gpudoctor.history.reader import read_history

    try:
        return read_history(path or found(), since=since, until=until, gpu=gpu, pid=pid)
    except GpuDoctorError as error:
        if path is not None or not isinstance(error.__cause__, PermissionError):
            raise
        told = _asked(since, until, gpu, pid)
        if told is None:
            raise
        return told


def _asked(since: float, until: float, gpu: str | None, pid: int | None) -> History | None:
    from gpudoctor.daemon.client import Client, NoAnswerError, NotThereError
    from gpudoctor.daemon.place import places
    from gpudoctor.units import printable

    for place in places():
        try:
            told = Client(place).history(since, until, gpu=gpu, pid=pid)
        except NotThereError as error:
            raise GpuDoctorError(printable(str(error))) from error
        except NoAnswerError:
            continue
        click.echo(f"Told by the daemon at {place}.", err=True)
        return told
    return None


def found() -> Path:
    """The history of this user's daemon, else that of the system's if there is one."""
    from gpudoctor.history.database import FILE, default_path

    mine, systems = default_path(), _SYSTEM / FILE
    return systems if not _is_there(mine) and _is_there(systems) else mine


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        # It may be: who reads it is told that the folder is closed.
        return True
    except OSError:
        return False
    return True

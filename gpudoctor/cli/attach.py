"""A running daemon as the source of snapshots, for commands that only look."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpudoctor.daemon.place import places
from gpudoctor.errors import ExitCode, GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.daemon.client import Client
    from gpudoctor.model.snapshot import Snapshot

# A daemon that looks every five seconds, as it does unless told otherwise, is just in time.
_OLDEST_S = 8.0
_PACE_S = 1.0

no_daemon = click.option(
    "--no-daemon", is_flag=True, help="Ask the driver, even where a daemon runs."
)


def _complain(why: str) -> None:
    click.echo(why, err=True)


def attach(
    oldest_s: float = _OLDEST_S,
    pace_s: float | None = None,
    *,
    current: bool = True,
    say: Callable[[str], None] = _complain,
) -> tuple[Client, Snapshot] | None:
    """A daemon that can be used, with its latest look; None where there is none.

    With `current` the look is of no use where one of its processes has ended since. `say` hears why a
    daemon that is there is not used.
    """
    for path in places():
        # Most machines have none: nothing more is imported for them.
        if not _may_listen(path):
            continue
        from gpudoctor.daemon.client import Client, NoAnswerError, NotForUsError
        from gpudoctor.daemon.ours import as_we_see

        client = Client(path)
        try:
            seen = client.snapshot(oldest_s=oldest_s, pace_s=pace_s)
            return client, as_we_see(seen, current=current)
        except NotForUsError:
            continue
        except NoAnswerError as error:
            say(f"The daemon at {path} is not used: {error}.")
    return None


def _may_listen(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        # It lies in a folder that this user may not enter.
        return False


def say_whose(path: Path, snapshot: Snapshot) -> None:
    """Tell on stderr that it is a daemon's look, and how old it is."""
    age = time.monotonic() - snapshot.monotonic
    click.echo(f"Seen {age:.0f} s ago by the daemon at {path} (--no-daemon: look now).", err=True)


def attached_look() -> Callable[[], Snapshot] | None:
    """A function that gives a daemon's latest look, at most a few seconds old; None without a daemon.

    It raises GpuDoctorError when the daemon goes away meanwhile.
    """
    found = attach(pace_s=_PACE_S)
    if found is None:
        return None
    client, first = found
    waiting = [first]

    def see() -> Snapshot:
        from gpudoctor.daemon.client import NoAnswerError
        from gpudoctor.daemon.ours import as_we_see

        if waiting:
            return waiting.pop()
        try:
            return as_we_see(client.snapshot(oldest_s=_OLDEST_S, pace_s=_PACE_S))
        except NoAnswerError as error:
            raise GpuDoctorError(
                f"the daemon at {client.path} cannot be asked any more",
                cause=str(error),
                hint="Ask the driver with --no-daemon.",
                exit_code=ExitCode.UNAVAILABLE,
            ) from error

    return see

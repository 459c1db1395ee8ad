"""The other ways of `gpudoctor profile`: a job that already runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gpudoctor.errors import GpuDoctorError

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--pid", type=click.IntRange(1), metavar="PID", help="Watch a job that already runs."
    ),
    click.option(
        "--duration",
        type=click.FloatRange(1, 3600),
        default=20.0,
        show_default=True,
        metavar="SECONDS",
        help="With --pid: for how long.",
    ),
)


def options(function: F) -> F:
    """Adds the options of these ways to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def watch(folder: Path, collect: dict[str, Any], alone: bool) -> int:
    """Watches the running job that --pid names, its session in `folder`; the exit code.

    Raises:
        GpuDoctorError: a script was named too (not `alone`), or nothing can be seen of the job.
    """
    from gpudoctor.profile.ondemand import watch as watch_process

    if not alone:
        raise GpuDoctorError("--pid runs nothing", hint="Leave the script out.")
    watch_process(
        collect["pid"],
        collect["duration"],
        folder,
        stacks=not collect["no_functions"],
        operators=not collect["no_operators"],
        shapes=collect["shapes"],
        say=lambda words: click.echo(words, err=True),
    )
    return 0

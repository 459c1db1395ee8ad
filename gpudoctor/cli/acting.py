"""What the commands that act on processes and GPUs share: the driver, the question, the refusal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.errors import ExitCode, GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.model.snapshot import Snapshot

    Seeing = Callable[[], Snapshot]

_LOOK_S = 5.0


def only_live(ctx: click.Context, what: str, done: str = "touched") -> None:
    """Nothing of a simulated or recorded machine can be acted on.

    Raises:
        GpuDoctorError: --demo or --replay was given.
    """
    if ctx.obj["demo"] or ctx.obj["replay"]:
        given = "--demo" if ctx.obj["demo"] else "--replay"
        raise GpuDoctorError(
            f"{what} of a simulated or recorded machine cannot be {done}",
            hint=f"They are only shown. To act on this machine, leave out {given}.",
        )


@contextmanager
def driver(collectors: tuple[str, ...]) -> Iterator[Seeing]:
    """A way to look at the GPUs.

    Raises:
        NvmlUnavailableError: there is no driver that answers.
    """
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    with open_machine() as machine:
        chosen = tuple(item for item in registered() if item.name in collectors)
        sampler = Sampler(machine.nvml, machine.host, collectors=chosen, reopen=machine.reopen)
        try:
            yield lambda: sampler.once(_LOOK_S)
        finally:
            sampler.stop()


def confirm(question: str) -> None:
    """Asks on stderr.

    Raises:
        GpuDoctorError: nobody is there to answer.
        click.exceptions.Exit: the answer is no; the exit code is that of what was left as it was.
        click.Abort: interrupted.
    """
    someone_there()
    if not click.confirm(question, err=True):
        click.echo("Nothing was done.", err=True)
        raise click.exceptions.Exit(ExitCode.FINDINGS)


def someone_there() -> None:
    """Raises GpuDoctorError where stdin is no terminal."""
    if not sys.stdin.isatty():
        raise GpuDoctorError(
            "nobody is there to confirm this",
            hint=f"Add --yes to act without asking{_or_look()}.",
        )


def _or_look() -> str:
    """The way to look only, of the command that runs."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or not any("--dry-run" in one.opts for one in ctx.command.params):
        return ""
    return ", or --dry-run to see what would be done"

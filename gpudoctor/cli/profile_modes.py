"""The other ways of `gpudoctor profile`: a job that already runs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.profile.timeline import GpuWatch

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


@contextlib.contextmanager
def gpus_beside(folder: Path, pid: int | None) -> Iterator[None]:
    """Writes to `folder` what NVML says of the GPUs of process `pid`, or of our own children, meanwhile."""
    from gpudoctor.profile.timeline import GpuWatch, beside

    watch = GpuWatch(os.getpid() if pid is None else pid)
    try:
        with beside(lambda stop: _sample(watch, stop)):
            yield
    finally:
        watch.write(folder)


def _sample(watch: GpuWatch, stop: threading.Event) -> None:
    from gpudoctor.cli.sources import open_machine
    from gpudoctor.profile.timeline import INTERVAL_S
    from gpudoctor.sampling.sampler import Sampler

    # A machine without a GPU or a driver is no error here: the script may well run on the CPU.
    with contextlib.suppress(GpuDoctorError), open_machine() as machine:
        sampler = Sampler(machine.nvml, machine.host, interval_s=INTERVAL_S)
        sampler.subscribe(watch.take)
        sampler.start()
        stop.wait()
        sampler.stop()

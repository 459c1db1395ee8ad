"""A way to look at the GPUs for commands that act: they also work where there is no driver to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.nvml.api import NvmlUnavailableError

if TYPE_CHECKING:
    from gpudoctor.model.snapshot import Snapshot

LOOK_S = 5.0


@contextmanager
def watching(*collectors: str) -> Iterator[Callable[[], Snapshot] | None]:
    """A function that takes a snapshot with the named collectors; None, and a word, without a driver."""
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    with ExitStack() as stack:
        try:
            machine = stack.enter_context(open_machine())
        except NvmlUnavailableError as error:
            click.echo(f"The GPUs cannot be watched: {error.message}.", err=True)
            yield None
            return
        chosen = tuple(item for item in registered() if item.name in collectors)
        sampler = Sampler(machine.nvml, machine.host, collectors=chosen, reopen=machine.reopen)
        stack.callback(sampler.stop)
        yield lambda: sampler.once(LOOK_S)

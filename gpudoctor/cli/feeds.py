"""Where the terminal UI has its snapshots and its history from: a running daemon, or the driver."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpudoctor.cli.past import UiPast
from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.config import Settings
from gpudoctor.sampling.sampler import Sampler

if TYPE_CHECKING:
    from gpudoctor.daemon.attached import AttachedFeed, Found
    from gpudoctor.model.check import Inspected
    from gpudoctor.tui.feed import Past

_LOG = logging.getLogger(__name__)

# About what the screen takes to be imported; a GPU that is slower is shown as soon as it answers.
_FIRST_FRAME_S = 0.3


@dataclass(frozen=True, slots=True)
class Source:
    """A feed, not yet started. `source` is as in its Snapshots; `attached`: a daemon is asked.

    `inspected` gives what the checks of that daemon found.
    """

    feed: Sampler | AttachedFeed
    source: str
    past: Past | None = None
    attached: Callable[[], bool] = lambda: False
    inspected: Callable[[], Inspected | None] = lambda: None


def sampler_of(machine: Machine, settings: Settings) -> Sampler:
    """A sampler on this machine, for a front end that stays open."""
    return Sampler(
        machine.nvml,
        machine.host,
        interval_s=settings.sampling.interval_seconds,
        deadline_s=settings.sampling.deadline_seconds,
        first_s=_FIRST_FRAME_S,
        reopen=machine.reopen,
    )


def played(machine: Machine, settings: Settings) -> Source:
    """This machine alone, whatever daemon runs: a recording, the scripted one, or as was asked for."""
    sampler = sampler_of(machine, settings)
    if machine.nvml.source != "nvml":
        return Source(sampler, machine.nvml.source)
    return Source(sampler, "nvml", UiPast(lambda: None, _recordings))


def followed(stack: ExitStack, settings: Settings, machine: Machine | None = None) -> Source | None:
    """A daemon that runs, or comes to run later; without one the driver itself.

    With `machine`, which is the opened driver, no daemon is looked for at once. Without it None is
    given where no daemon can be used.
    """
    from gpudoctor.cli.attach import attach
    from gpudoctor.daemon.attached import AttachedFeed, oldest

    every = settings.sampling.interval_seconds
    found = None if machine else attach(oldest(every), every, current=False)
    if machine is None and found is None:
        return None
    ready = [machine] if machine else []

    def open_direct() -> Sampler:
        # A sampler that ends closes what it was opened on.
        return sampler_of(ready.pop() if ready else stack.enter_context(open_machine()), settings)

    def seek() -> Found | None:
        return attach(oldest(every), current=False, say=_LOG.debug)

    feed = AttachedFeed(open_direct, seek, found=found, interval_s=every)
    past = UiPast(lambda: feed.client, _recordings)
    return Source(feed, "nvml", past, lambda: feed.client is not None, past.findings)


def _recordings() -> Path | None:
    """What a recorder wrote, where this user may read it."""
    from gpudoctor.cli.history import found

    path = found()
    return path if os.access(path, os.R_OK) else None

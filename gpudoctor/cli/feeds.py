"""Where the terminal UI has its snapshots and its history from: a running daemon, or the driver."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.config import Settings
from gpudoctor.sampling.sampler import Sampler

if TYPE_CHECKING:
    from gpudoctor.daemon.attached import AttachedFeed
    from gpudoctor.tui.feed import Past

# About what the screen takes to be imported; a GPU that is slower is shown as soon as it answers.
_FIRST_FRAME_S = 0.3


@dataclass(frozen=True, slots=True)
class Source:
    """A feed, not yet started. `source` is as in its Snapshots; `attached` says whether a daemon is asked."""

    feed: Sampler | AttachedFeed
    source: str
    past: Past | None = None
    attached: Callable[[], bool] = lambda: False


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


def direct(machine: Machine, sampler: Sampler) -> Source:
    """The driver itself, with what a recorder wrote where this user may read it."""
    from gpudoctor.cli.history import found

    path = found()
    if machine.nvml.source != "nvml" or not os.access(path, os.R_OK):
        return Source(sampler, machine.nvml.source)
    from gpudoctor.cli.past import FilePast

    return Source(sampler, "nvml", FilePast(path))


def attached(stack: ExitStack, settings: Settings) -> Source | None:
    """A running daemon, and while it is gone the driver itself; None where no daemon can be used."""
    from gpudoctor.cli.attach import attach

    every = settings.sampling.interval_seconds
    answered = attach(pace_s=every, current=False)
    if answered is None:
        return None
    from gpudoctor.cli.past import DaemonPast
    from gpudoctor.daemon.attached import AttachedFeed

    client, first = answered
    opened: list[Machine] = []

    def open_direct() -> Sampler:
        if not opened:
            opened.append(stack.enter_context(open_machine()))
        return sampler_of(opened[0], settings)

    feed = AttachedFeed(client, open_direct, first=first, interval_s=every)
    return Source(feed, "nvml", DaemonPast(client), lambda: feed.daemon)

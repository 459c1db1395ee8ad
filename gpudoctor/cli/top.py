"""`gpudoctor` without a command: the terminal UI, or one text overview where there is no terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpudoctor import config as settings_file
from gpudoctor.cli.painting import paint_on_stdout
from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.config import Settings
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.present.cells import Level
from gpudoctor.present.glyphs import Glyphs, glyphs, speaks_unicode
from gpudoctor.sampling.sampler import Sampler

if TYPE_CHECKING:
    from gpudoctor.reclaim.watch import OrphanWatch
    from gpudoctor.tui.screens.fleet import FleetSource

_FIRST_LOOK_S = 10.0
# About what the screen takes to be imported; a GPU that is slower is shown as soon as it answers.
_FIRST_FRAME_S = 0.3
_STYLES: dict[Level, dict[str, Any]] = {
    Level.PLAIN: {},
    Level.DIM: {"dim": True},
    Level.GOOD: {"fg": "green"},
    Level.NOTICE: {"fg": "cyan"},
    Level.WARN: {"fg": "yellow", "bold": True},
    Level.BAD: {"fg": "red", "bold": True},
}


def top(
    demo: bool = False,
    replay: str | None = None,
    config: str | None = None,
    *,
    once: bool = False,
    ascii_only: bool = False,
) -> int:
    """Show the machine until the user has seen enough; the exit code.

    Raises:
        NvmlUnavailableError: no driver, and no simulated machine was allowed in its place.
    """
    settings = settings_file.load(Path(config) if config else None)
    plain = ascii_only or not speaks_unicode(sys.stdout.encoding)
    with ExitStack() as stack:
        machine = _machine(stack, demo, replay)
        sampler = Sampler(
            machine.nvml,
            machine.host,
            interval_s=settings.sampling.interval_seconds,
            deadline_s=settings.sampling.deadline_seconds,
            first_s=_FIRST_FRAME_S,
            reopen=machine.reopen,
        )
        if once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            return _print(sampler, glyphs(plain))
        return _live(machine, sampler, settings, plain)


def _machine(stack: ExitStack, demo: bool, replay: str | None) -> Machine:
    try:
        return stack.enter_context(open_machine(demo, replay))
    except NvmlUnavailableError as error:
        if os.environ.get("GPUDOCTOR_OR_DEMO") != "1":
            raise
        click.echo(f"No NVIDIA driver ({error.message}): showing a SIMULATED machine.", err=True)
        return stack.enter_context(open_machine(demo=True))


def _print(sampler: Sampler, set_: Glyphs) -> int:
    from gpudoctor.render.overview import overview, unstyled

    try:
        snapshot = sampler.once(_FIRST_LOOK_S)
    finally:
        sampler.stop()
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        style = unstyled if os.environ.get("NO_COLOR") else _coloured
        click.echo(overview(snapshot, set_, width, style))
    else:
        click.echo(overview(snapshot, set_))
    return 0


def _coloured(text: str, level: Level) -> str:
    return click.style(text, **_STYLES[level])


def _live(machine: Machine, sampler: Sampler, settings: Settings, plain: bool) -> int:
    paint_on_stdout()
    fleet = _fleet(settings)
    # The first look is taken while the UI is still being imported.
    sampler.start()
    watch = _watch(machine)
    sampler.subscribe(watch.see)
    try:
        from gpudoctor.tui.app import GpuDoctorApp
        from gpudoctor.tui.themes import checked

        theme = checked(settings.tui.theme)
        app = GpuDoctorApp(sampler, theme=theme, set_=glyphs(plain), watch=watch, fleet=fleet)
        watch.start()
        app.run()
    finally:
        watch.stop()
        sampler.stop()
    return app.return_code or 0


def _fleet(settings: Settings) -> Callable[[], FleetSource] | None:
    """What the key F asks, where a Prometheus was named."""
    url = os.environ.get("GPUDOCTOR_PROMETHEUS") or settings.fleet.prometheus
    if not url:
        return None
    from gpudoctor.cli.fleet import named, source_of

    # Here, so that a mistake in the address is told before the screen is taken.
    server = named(url, settings)
    return lambda: source_of(server)


def _watch(machine: Machine) -> OrphanWatch:
    from gpudoctor.reclaim.looking import local_look, played_look
    from gpudoctor.reclaim.watch import OrphanWatch

    return OrphanWatch(played_look if machine.nvml.source != "nvml" else local_look)

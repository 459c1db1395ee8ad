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
from gpudoctor.cli.attach import attach, say_whose
from gpudoctor.cli.feeds import Source, followed, played, sampler_of
from gpudoctor.cli.painting import in_browser, kept, paint, paint_on_stdout
from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.config import Settings
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.present.cells import Level
from gpudoctor.present.glyphs import Glyphs, glyphs, speaks_unicode
from gpudoctor.sampling.sampler import Sampler

if TYPE_CHECKING:
    from gpudoctor.model.snapshot import Snapshot
    from gpudoctor.reclaim.watch import OrphanWatch
    from gpudoctor.tui.errands import Errands
    from gpudoctor.tui.screens.fleet import FleetSource

_FIRST_LOOK_S = 10.0
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
    no_daemon: bool = False,
    read_only: bool = False,
) -> int:
    """Show the machine until the user has seen enough; the exit code.

    Raises:
        NvmlUnavailableError: no driver, and no simulated machine was allowed in its place.
    """
    settings = settings_file.load(Path(config) if config else None)
    browser = in_browser()
    plain = ascii_only or not (browser or speaks_unicode(sys.stdout.encoding))
    live = not once and (browser or (sys.stdout.isatty() and sys.stdin.isatty()))
    with ExitStack() as stack:
        alone = bool(demo or replay or no_daemon)
        if live:
            source = _source(stack, settings, alone, demo, replay)
            return _live(source, settings, plain, read_only)
        if not alone and (seen := attach()) is not None:
            client, snapshot = seen
            say_whose(client.path, snapshot)
            return _print(snapshot, glyphs(plain))
        sampler = sampler_of(_machine(stack, demo, replay), settings)
        return _print(_look(sampler), glyphs(plain))


def _source(
    stack: ExitStack, settings: Settings, alone: bool, demo: bool, replay: str | None
) -> Source:
    """A daemon that runs or may come to run, unless the machine is to be asked alone."""
    if not alone and (daemon := followed(stack, settings)) is not None:
        return daemon
    machine = _machine(stack, demo, replay)
    later = None if alone or machine.nvml.source != "nvml" else followed(stack, settings, machine)
    return later or played(machine, settings)


def _machine(stack: ExitStack, demo: bool, replay: str | None) -> Machine:
    try:
        return stack.enter_context(open_machine(demo, replay))
    except NvmlUnavailableError as error:
        if os.environ.get("GPUDOCTOR_OR_DEMO") != "1":
            raise
        click.echo(f"No NVIDIA driver ({error.message}): showing a SIMULATED machine.", err=True)
        return stack.enter_context(open_machine(demo=True))


def _look(sampler: Sampler) -> Snapshot:
    try:
        return sampler.once(_FIRST_LOOK_S)
    finally:
        sampler.stop()


def _print(snapshot: Snapshot, set_: Glyphs) -> int:
    from gpudoctor.render.overview import overview, unstyled

    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        style = unstyled if os.environ.get("NO_COLOR") else _coloured
        click.echo(overview(snapshot, set_, width, style))
    else:
        click.echo(overview(snapshot, set_))
    return 0


def _coloured(text: str, level: Level) -> str:
    return click.style(text, **_STYLES[level])


def _live(source: Source, settings: Settings, plain: bool, read_only: bool) -> int:
    paint_on_stdout()
    fleet = _fleet(settings)
    # The first look is taken while the UI is still being imported.
    source.feed.start()
    watch = _watch(source)
    source.feed.subscribe(watch.see)
    try:
        from gpudoctor.tui.app import GpuDoctorApp
        from gpudoctor.tui.themes import checked

        theme = checked(settings.tui.theme)
        look, complaint = kept(settings.tui)
        app = GpuDoctorApp(
            source.feed,
            theme=theme,
            set_=glyphs(plain),
            watch=watch,
            fleet=fleet,
            past=source.past,
            attached=source.attached,
            inspected=source.inspected,
            look=look,
            complaint=complaint,
            read_only=read_only,
        )
        watch.start()
        # A look round on a simulated or recorded machine changes nothing for the next time.
        try:
            return paint(app, settings.tui, keep=source.source == "nvml" and not read_only)
        finally:
            _end(app.errands)
    finally:
        watch.stop()
        source.feed.stop()


def _end(errands: Errands) -> None:
    if errands.under_way:
        click.echo("Ending what still runs, and keeping what it has; Ctrl-C: at once.", err=True)
    errands.end()


def _fleet(settings: Settings) -> Callable[[], FleetSource] | None:
    """What the key F asks, where a Prometheus was named."""
    url = os.environ.get("GPUDOCTOR_PROMETHEUS") or settings.fleet.prometheus
    if not url:
        return None
    from gpudoctor.cli.fleet import named, source_of

    # Here, so that a mistake in the address is told before the screen is taken.
    server = named(url, settings)
    return lambda: source_of(server)


def _watch(source: Source) -> OrphanWatch:
    from gpudoctor.reclaim.looking import local_look, played_look
    from gpudoctor.reclaim.watch import OrphanWatch

    return OrphanWatch(played_look if source.source != "nvml" else local_look)

"""`gpudoctor` without a command: the terminal UI, or one text overview where there is no terminal."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from gpudoctor import config as settings_file
from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.config import Settings
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.present.glyphs import glyphs, speaks_unicode
from gpudoctor.sampling.sampler import Sampler

_FIRST_LOOK_S = 10.0


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
            reopen=machine.reopen,
        )
        if once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            return _print(sampler, plain)
        return _live(sampler, settings, plain)


def _machine(stack: ExitStack, demo: bool, replay: str | None) -> Machine:
    try:
        return stack.enter_context(open_machine(demo, replay))
    except NvmlUnavailableError as error:
        if os.environ.get("GPUDOCTOR_OR_DEMO") != "1":
            raise
        click.echo(f"No NVIDIA driver ({error.message}): showing a SIMULATED machine.", err=True)
        return stack.enter_context(open_machine(demo=True))


def _print(sampler: Sampler, plain: bool) -> int:
    from gpudoctor.render.overview import overview

    try:
        snapshot = sampler.once(_FIRST_LOOK_S)
    finally:
        sampler.stop()
    click.echo(overview(snapshot, glyphs(plain)))
    return 0


def _live(sampler: Sampler, settings: Settings, plain: bool) -> int:
    from gpudoctor.tui.app import GpuDoctorApp
    from gpudoctor.tui.themes import checked

    app = GpuDoctorApp(sampler, theme=checked(settings.tui.theme), set_=glyphs(plain))
    try:
        app.run()
    finally:
        sampler.stop()
    return app.return_code or 0

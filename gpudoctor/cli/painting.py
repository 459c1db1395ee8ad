"""What is to be done before a terminal UI takes the screen, and after it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from gpudoctor import units
from gpudoctor.config import TuiSettings
from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.tui.base import BaseApp
    from gpudoctor.tui.look import Look


def in_browser() -> bool:
    """Whether a browser, by way of `gpudoctor web`, is the terminal."""
    return os.environ.get("TEXTUAL_DRIVER", "").startswith("textual.drivers.web_driver:")


def paint_on_stdout() -> None:
    """Keep warnings off the screen, and paint on it even where stderr goes to a file."""
    logging.getLogger("gpudoctor").addHandler(logging.NullHandler())
    if not in_browser() and not sys.stderr.isatty():
        # Textual paints on stderr; where that goes to a file, the terminal is behind stdout.
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]


def kept(settings: TuiSettings) -> tuple[Look, str]:
    """How the screen was left the last time, and what is wrong with the file that says so."""
    from gpudoctor.tui.look import Look, load, place

    path = place() if settings.remember else None
    return (Look(), "") if path is None else load(path)


def paint(app: BaseApp, settings: TuiSettings, *, keep: bool = True) -> int:
    """Run the application until it is left; the exit code. With `keep` its look is remembered."""
    units.show_fahrenheit(settings.temperature == "fahrenheit")
    before = app.look
    app.run()
    after = app.left()
    if keep and settings.remember and after != before:
        _save(after)
    return app.return_code or 0


def _save(look: Look) -> None:
    from gpudoctor.tui.look import place, save

    path = place()
    if path is None:
        return
    try:
        save(path, look)
    except GpuDoctorError as error:
        click.echo(error.block(), err=True)

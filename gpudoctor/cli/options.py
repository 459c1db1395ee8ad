"""Kinds of option values that several commands share."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d+)?)\s*([kmgtp]?)(i?)b?", re.IGNORECASE)
_TIME = re.compile(r"(\d{1,18}(?:\.\d+)?)(s|m|h|)")


def _new_file(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """A file that can be made, found out before a run that takes long."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.parent}.")
    if value is not None and not value.exists() and not os.access(value.parent, os.W_OK | os.X_OK):
        raise click.BadParameter(f"the folder {value.parent} may not be written to.")
    return value


html_option = click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    callback=_new_file,
    help="Also write the report as one HTML file.",
)
metrics_file_option = click.option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the results as metrics, for node_exporter.",
)


def span(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """The seconds of a span of time such as 90, 90s, 5m or 1.5h; a callback of an option.

    Raises:
        click.BadParameter: it is no such span, or none at all.
    """
    if value is None:
        return None
    found = _TIME.fullmatch(value.strip())
    if found is None or float(found[1]) <= 0:
        raise click.BadParameter(f"{value!r} is no span of time: give it as 90s, 5m or 1h.")
    return float(found[1]) * _UNITS[found[2]]


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """The bytes of an amount such as 20GiB, 20GB, 512M or 1.5T; a callback of an option.

    A unit without the `i` is decimal where it ends in B (20GB) and binary where it does not (20G), as
    most tools have it.

    Raises:
        click.BadParameter: it is no such amount.
    """
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no amount of memory: give it as 20GiB or 512MiB.")
    number, letter, binary = found.groups()
    decimal = not binary and value.strip().lower().endswith("b")
    return int(float(number) * (1000 if decimal else 1024) ** " kmgtp".index(letter.lower() or " "))


def ratio(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """The share, 0 to 1, of a percentage such as 10 or 10%; a callback of an option.

    Raises:
        click.BadParameter: it is no number from 0 to 100.
    """
    if value is None:
        return None
    try:
        percent = float(value.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise click.BadParameter(f"{value!r} is no percentage: give a number from 0 to 100.")
    return percent / 100

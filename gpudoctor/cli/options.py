"""Kinds of option values that several commands share."""

from __future__ import annotations

import re

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|)")


def span(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """The seconds of a span of time such as 90, 90s, 5m or 1.5h; a callback of an option.

    Raises:
        click.BadParameter: it is no such span, or none at all.
    """
    found = _TIME.fullmatch(value.strip())
    if found is None or float(found[1]) <= 0:
        raise click.BadParameter(f"{value!r} is no span of time: give it as 90s, 5m or 1h.")
    return float(found[1]) * _UNITS[found[2]]

"""Moments as one types them: `2h` ago, a time of today, a date."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

# click says the type only from 8.2 on, and cannot be asked for it before.
if TYPE_CHECKING:
    _FloatType = click.ParamType[float]
else:
    _FloatType = click.ParamType


class Moment(_FloatType):
    """Gives seconds since the epoch, in the machine's own time zone where none is named."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The moment that `value` names."""
        now = dt.datetime.now()
        ago = _AGO.fullmatch(value)
        if ago:
            return now.timestamp() - float(ago[1]) * _UNITS[ago[2]]
        try:
            if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", value):
                time = dt.time.fromisoformat(value.zfill(8 if value.count(":") == 2 else 5))
                day = now.date() if time <= now.time() else now.date() - dt.timedelta(days=1)
                return dt.datetime.combine(day, time).timestamp()
            return dt.datetime.fromisoformat(value).timestamp()
        except ValueError:
            self.fail(
                f"{value!r} is no moment; say 2h, 30m, 03:00 or 2026-01-31T03:00.", param, ctx
            )

"""Moments as one types them: `2h` ago, a time of today, a date, seconds since the epoch."""

from __future__ import annotations

import datetime as dt
import math
import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?", re.ASCII)
_EPOCH = re.compile(r"\d{9,11}(\.\d{1,9})?", re.ASCII)


def moment(text: str) -> float:
    """Seconds since the epoch, in the machine's own time zone where none is named.

    Raises:
        ValueError: it names no moment.
    """
    now = dt.datetime.now()
    ago = _AGO.fullmatch(text)
    if ago:
        return now.timestamp() - float(ago[1]) * _UNITS[ago[2]]
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        if _CLOCK.fullmatch(text):
            time = dt.time.fromisoformat(text.zfill(8 if text.count(":") == 2 else 5))
            day = now.date() if time <= now.time() else now.date() - dt.timedelta(days=1)
            return dt.datetime.combine(day, time).timestamp()
        told = dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(_unknown(text)) from error
    if not math.isfinite(told):
        raise ValueError(_unknown(text))
    return told


def _unknown(text: str) -> str:
    return f"{text!r} is no moment; say 2h, 30m, 03:00 or 2026-01-31T03:00."

"""The only place where a number becomes text. Unknown is shown as an en dash, never as 0."""

from __future__ import annotations

import math

UNKNOWN = "–"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# A matter of taste of whoever looks at this process's screen, and no part of any value.
_fahrenheit = False
_TIME = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"))


def data_size(amount: float | None, digits: int = 1) -> str:
    """An amount of memory in bytes, with a binary unit: `1536` is `1.5 KiB`."""
    if amount is None:
        return UNKNOWN
    value, unit = float(amount), 0
    while abs(value) >= 1024 and unit < len(_BINARY) - 1:
        value /= 1024
        unit += 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.{digits}f} {_BINARY[unit]}"


def gibibytes(amount: float | None, digits: int = 1) -> str:
    """An amount in bytes as a bare number of GiB, for columns that name the unit in their title."""
    return UNKNOWN if amount is None else f"{amount / 1024**3:.{digits}f}"


def data_rate(per_second: float | None) -> str:
    """A rate in bytes per second."""
    return UNKNOWN if per_second is None else data_size(per_second) + "/s"


def percent(ratio: float | None, digits: int = 0) -> str:
    """A ratio from 0 to 1 as a percentage."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.{digits}f}%"


def watts(value: float | None) -> str:
    """A power in watts."""
    return UNKNOWN if value is None else f"{value:.0f} W"


def show_fahrenheit(wanted: bool) -> None:
    """Show temperatures in °F from now on, or in °C again, in all of this process."""
    global _fahrenheit
    _fahrenheit = wanted


def celsius(value: float | None) -> str:
    """A temperature in degrees Celsius, shown in °F where that is wanted."""
    if value is None:
        return UNKNOWN
    return f"{value * 1.8 + 32:.0f}°F" if _fahrenheit else f"{value:.0f}°C"


def hertz(value: float | None) -> str:
    """A clock in hertz, shown in MHz as nvidia-smi does."""
    return UNKNOWN if value is None else f"{value / 1e6:.0f} MHz"


def count(value: int | None) -> str:
    """A whole number, with thin grouping of thousands."""
    return UNKNOWN if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """A span of time in seconds, with the unit that fits: `0.0021` is `2.1 ms`, `4000` is `1h 6m`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs" if seconds >= 1e-6 else f"{seconds * 1e9:.0f} ns"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return _long_duration(seconds)


def _long_duration(seconds: float) -> str:
    for position, (size, name) in enumerate(_TIME):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            if position + 1 < len(_TIME):
                next_size, next_name = _TIME[position + 1]
                return f"{int(whole)}{name} {int(rest // next_size)}{next_name}"
            return f"{int(whole)}{name} {int(rest)}s"
    return f"{seconds:.0f} s"


def age(seconds: float | None) -> str:
    """A span of time in whole seconds, in at most six characters: `9240` is `2h34m`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    days = whole // 86_400
    return f"{days}d{whole % 86_400 // 3_600:02d}h" if days < 1_000 else f"{days}d"


def version_pair(value: tuple[int, int] | None) -> str:
    """A version of two numbers, as `12.8`."""
    return UNKNOWN if value is None else f"{value[0]}.{value[1]}"


def text(value: object | None) -> str:
    """A value that already is text, or unknown."""
    return UNKNOWN if value is None or value == "" else str(value)


def printable(raw: str) -> str:
    """`raw` with control characters escaped, so that no name of a process can drive the terminal."""
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in raw)

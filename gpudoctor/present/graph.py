"""A history as an area graph of characters."""

from __future__ import annotations

from collections.abc import Sequence

from gpudoctor.present.glyphs import Glyphs, column


def area(values: Sequence[float | None], width: int, height: int, set_: Glyphs) -> list[str]:
    """`height` lines of `width` characters, the newest value at the right, empty where unknown."""
    if width <= 0 or height <= 0:
        return []
    shown = list(values[-width:])
    empty = [[" "] * height] * (width - len(shown))
    columns = empty + [column(value, height, set_) for value in shown]
    return ["".join(parts[row] for parts in columns) for row in range(height)]


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None

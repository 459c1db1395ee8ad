"""A quantity that seldom changes, over hours, in little memory: only its changes are kept."""

from __future__ import annotations

import math
from array import array

# 16 bytes each: a process whose memory changes at every look costs 16 kB, one that rests nothing.
_MOST = 1_024


class Steps:
    """What was known of a quantity since the first look; it holds until the next change.

    Where there are too many changes, the older half is made coarser: of two, the higher is kept.
    """

    __slots__ = ("_at", "_values")

    def __init__(self) -> None:
        self._at = array("d")
        self._values = array("d")

    def __len__(self) -> int:
        return len(self._at)

    @property
    def begun(self) -> float | None:
        """When the first look was, seconds since the epoch."""
        return self._at[0] if self._at else None

    def add(self, at: float, value: float | None) -> None:
        """Take down the newest value, seen at `at` (seconds since the epoch)."""
        known = math.nan if value is None else value
        if self._at:
            last = self._values[-1]
            if known == last or (value is None and math.isnan(last)):
                return
        self._at.append(at)
        self._values.append(known)
        if len(self._at) > _MOST:
            self._thin()

    def columns(self, window_s: float, wanted: int, now: float) -> list[float | None]:
        """The highest values in `wanted` equal parts of the last `window_s` seconds, oldest first.

        Parts begin at whole multiples of their length, so that a graph moves on and does not shimmer.
        """
        if wanted <= 0:
            return []
        width = window_s / wanted
        first = int(now // width) - wanted + 1
        highest = [math.nan] * wanted
        places = [int(at // width) - first for at in self._at]
        # A value is there until the part before that of the next one; the last one, to the end.
        ends = [math.ceil(at / width) - first - 1 for at in self._at[1:]]
        for begun, ended, value in zip(places, [*ends, wanted], self._values, strict=False):
            for place in range(max(0, begun), min(wanted - 1, max(begun, ended)) + 1):
                highest[place] = _higher(highest[place], value)
        return [None if math.isnan(value) else value for value in highest]

    def _thin(self) -> None:
        half = len(self._at) // 4 * 2
        pairs = range(0, half, 2)
        self._at[:half] = array("d", (self._at[one] for one in pairs))
        self._values[:half] = array(
            "d", (_higher(self._values[one], self._values[one + 1]) for one in pairs)
        )


def _higher(one: float, other: float) -> float:
    if math.isnan(one):
        return other
    return one if math.isnan(other) else max(one, other)

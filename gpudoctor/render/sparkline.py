"""Small curves of block characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def columns(
    points: Iterable[tuple[float, float | None]],
    since: float,
    until: float,
    width: int,
    *,
    holds: float = 0.0,
) -> list[float | None]:
    """The highest value in each of `width` equal stretches from `since` to `until`.

    The highest, since a short peak is what one looks for; None where nothing is known. A point
    speaks for `holds` seconds from its time on.
    """
    found: list[float | None] = [None] * width
    span = max(until - since, 1e-9)
    for at, value in points:
        if value is None or not since <= at < until:
            continue
        first = min(int((at - since) / span * width), width - 1)
        last = min(int((at + holds - since) / span * width), width)
        for column in range(first, max(first + 1, last)):
            known = found[column]
            found[column] = value if known is None else max(known, value)
    return found


def sparkline(values: Sequence[float | None], highest: float) -> str:
    """One block for each value, `highest` being the tallest; a blank where nothing is known."""
    return "".join(" " if value is None else _block(value / (highest or 1)) for value in values)


def _block(share: float) -> str:
    position = int(min(max(share, 0.0), 1.0) * (len(_BLOCKS) - 1) + 0.5)
    return _BLOCKS[position]

"""Small charts as the points of an SVG path, with the value at their upper edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 120.0


@dataclass(frozen=True, slots=True)
class Chart:
    """`line` is an SVG path over WIDTH × HEIGHT; `top` is the value at the upper edge."""

    line: str
    area: str
    top: float


def chart(points: Sequence[tuple[float, float]], top: float | None = None) -> Chart | None:
    """A line through `points` (x rising), from 0 to `top` or their highest value; None for fewer than two."""
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    top = max(value for _, value in points) if top is None else top
    if last <= first or top <= 0:
        return None
    places = [
        f"{(x - first) / (last - first) * WIDTH:.1f},{HEIGHT - value / top * HEIGHT:.1f}"
        for x, value in points
    ]
    line = "M" + " L".join(places)
    return Chart(line=line, area=f"{line} L{WIDTH:.0f},{HEIGHT:.0f} L0,{HEIGHT:.0f} Z", top=top)

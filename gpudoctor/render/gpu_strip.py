"""What NVML saw of a script's GPUs, as the report's charts: use, memory, power and clock over the run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from gpudoctor.profile.timeline import SLOWED, GpuSeen, Point, Timeline
from gpudoctor.render.charts import WIDTH, Chart, chart
from gpudoctor.units import data_size, hertz, percent, watts

Value = Callable[[Point], float | None]
_ROWS: tuple[tuple[str, Value, Callable[[float], str], float | None], ...] = (
    ("Utilisation", lambda point: point.gpu_ratio, percent, 1.0),
    ("Multiprocessors active", lambda point: point.sm_active_ratio, percent, 1.0),
    ("Memory", lambda point: point.memory_used_bytes, lambda value: data_size(int(value)), None),
    ("Power", lambda point: point.power_watts, watts, None),
    ("SM clock", lambda point: point.sm_hertz, hertz, None),
)


@dataclass(frozen=True, slots=True)
class StripRow:
    """One quantity; `top` is the value at the chart's upper edge, in words."""

    name: str
    top: str
    chart: Chart


@dataclass(frozen=True, slots=True)
class Strip:
    """One GPU. `slowed` are the stretches in which it was slowed down: left edge, width, and why."""

    title: str
    rows: tuple[StripRow, ...]
    slowed: tuple[tuple[float, float, str], ...]


def strips(timeline: Timeline | None) -> tuple[Strip, ...]:
    """A strip for each GPU of which something is known over time."""
    made = (_strip(gpu) for gpu in timeline.gpus) if timeline is not None else ()
    return tuple(strip for strip in made if strip.rows)


def _strip(gpu: GpuSeen) -> Strip:
    rows = []
    for name, value, words, top in _ROWS:
        points = [(point.at, seen) for point in gpu.points if (seen := value(point)) is not None]
        drawn = chart(points, top)
        if drawn is not None:
            rows.append(StripRow(name, words(drawn.top), drawn))
    return Strip(f"GPU {gpu.index}: {gpu.name}", tuple(rows), tuple(_slowed(gpu.points)))


def _slowed(points: list[Point]) -> list[tuple[float, float, str]]:
    if len(points) < 2 or points[-1].at <= points[0].at:
        return []
    scale = WIDTH / (points[-1].at - points[0].at)
    found = []
    for point, after in itertools.pairwise(points):
        why = sorted(SLOWED & set(point.reasons or ()))
        if why:
            left = (point.at - points[0].at) * scale
            found.append((round(left, 1), round((after.at - point.at) * scale, 1), ", ".join(why)))
    return found

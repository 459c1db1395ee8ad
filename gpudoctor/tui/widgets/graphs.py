"""Small graphs of utilisation and memory, one for each GPU, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from gpudoctor.present.cells import Level
from gpudoctor.present.glyphs import fitted
from gpudoctor.present.graph import area
from gpudoctor.tui.widgets.painter import LEVEL_CLASSES, Palette, level_css
from gpudoctor.tui.widgets.styling import glyphs_of, palette_of

_GAP = 2
_LEAST_WIDTH = 22
_GOOD_WIDTH = 36
_LEAST_HEIGHT = 4
_GOOD_HEIGHT = 7
_MOST_HEIGHT = 14


@dataclass(frozen=True, slots=True)
class Series:
    """What one small graph shows: values from 0 to 1, oldest first."""

    title: str
    window: str
    utilization: tuple[float | None, ...]
    memory: tuple[float | None, ...]
    faded: bool = False


@dataclass(frozen=True, slots=True)
class Tiling:
    """How many graphs stand side by side, how wide, and how high each is with its title."""

    across: int
    width: int
    height: int
    down: int


def tile(count: int, width: int, height: int) -> Tiling | None:
    """The tiling that shows all graphs as large as they fit; None where they do not."""
    fitting = [
        Tiling(across, wide, min(_MOST_HEIGHT, height // down), down)
        for down in range(1, count + 1)
        if (across := -(-count // down)) * (down - 1) < count
        and (wide := (width + _GAP) // across - _GAP) >= _LEAST_WIDTH
        and height // down >= _LEAST_HEIGHT
    ]
    high = [tiling for tiling in fitting if tiling.height >= _GOOD_HEIGHT]
    # A tiling without a hole is taken before a wider one with it, unless it is much too narrow.
    full = [one for one in high if one.across * one.down == count and one.width >= _GOOD_WIDTH]
    best = full or high or fitting[:1]
    return best[-1] if best else None


class Graphs(Widget):
    """All small graphs."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "graphs--rest",
        "graphs--utilization",
        "graphs--held",
        *LEVEL_CLASSES,
    }
    DEFAULT_CSS = """
    Graphs { height: 1fr; }
    Graphs .graphs--rest { color: $track; }
    Graphs .graphs--utilization { color: $success-darken-1; }
    Graphs .graphs--held { color: $secondary; }
    """ + level_css("Graphs")

    def __init__(self, *, dom_id: str | None = None) -> None:
        super().__init__(id=dom_id)
        self._series: tuple[Series, ...] = ()
        self._lines: list[list[Segment]] = []
        self._palette: Palette | None = None

    @property
    def points(self) -> int:
        """How many points a graph can show now."""
        tiling = self._tiling(max(1, len(self._series)))
        return tiling.width if tiling else 0

    def show(self, series: Sequence[Series]) -> None:
        """Take these graphs."""
        if tuple(series) != self._series:
            self._series = tuple(series)
            self._lines = []
            self.refresh()

    def notify_style_update(self) -> None:
        """The theme has changed."""
        super().notify_style_update()
        self._palette = None
        self._lines = []

    def on_resize(self) -> None:
        """Tile anew."""
        self._lines = []

    def render_line(self, y: int) -> Strip:
        """One line across all graphs."""
        if self._palette is None:
            self._palette = palette_of(self, "graphs")
        if not self._lines:
            self._lines = self._build(self._palette)
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self._palette.base)
        return Strip(self._lines[y]).adjust_cell_length(self.size.width, self._palette.base)

    def _tiling(self, count: int) -> Tiling | None:
        return tile(count, self.size.width, self.size.height)

    def _build(self, palette: Palette) -> list[list[Segment]]:
        tiling = self._tiling(len(self._series))
        if tiling is None:
            return [[]]
        lines: list[list[Segment]] = []
        for first in range(0, len(self._series), tiling.across):
            rows = [
                self._graph(series, tiling, palette)
                for series in self._series[first : first + tiling.across]
            ]
            for parts in zip(*rows, strict=True):
                line: list[Segment] = []
                for part in parts:
                    line += [part, Segment(" " * _GAP, palette.base)]
                lines.append(line)
        return lines

    def _graph(self, series: Series, tiling: Tiling, palette: Palette) -> list[Segment]:
        plot = tiling.height - 1
        of_memory = max(1, plot * 2 // 5)
        parts = (
            ("graphs--utilization", series.utilization, plot - of_memory),
            ("graphs--held", series.memory, of_memory),
        )
        set_ = glyphs_of(self)
        named, window = set_.text(series.title), set_.text(series.window)
        if cell_len(named) + len(window) >= tiling.width:
            window = window.replace(" ", "").replace("min", "m")
        title = fitted(named, tiling.width - len(window) - 1, set_) + " " + window
        out = [Segment(title, palette.of(Level.DIM) if series.faded else palette.base)]
        for name, values, height in parts:
            style = palette.base + self.get_component_rich_style(name, partial=True)
            style = palette.of(Level.DIM) if series.faded else style
            out += [
                Segment(line, style) for line in area(values, tiling.width, height, glyphs_of(self))
            ]
        return out

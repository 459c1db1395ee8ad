"""Lines of cells: the title, the host, the remarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from gpudoctor.present.cells import Cell, Level
from gpudoctor.tui.widgets.painter import LEVEL_CLASSES, Palette, level_css, paint
from gpudoctor.tui.widgets.styling import glyphs_of, palette_of

_GAP = 2
_LABEL_GAP = 1
_BAR_ROOM = 8

Line = tuple[Cell, ...]


class Lines(Widget):
    """Lines that are repainted only when their cells change. The last cell of `spread` lines is right."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--rest", "lines--held", *LEVEL_CLASSES}
    DEFAULT_CSS = """
    Lines { height: auto; }
    Lines .lines--rest { color: $track; }
    Lines .lines--held { color: $secondary; }
    """ + level_css("Lines")

    def __init__(self, *, spread: bool = False, most: int = 100, dom_id: str | None = None) -> None:
        super().__init__(id=dom_id)
        self._lines: tuple[Line, ...] = ()
        self._spread = spread
        self._palette: Palette | None = None
        self.most = most

    def show(self, lines: Sequence[Line]) -> None:
        """Take these lines."""
        shown = tuple(lines[: self.most])
        if shown == self._lines:
            return
        grown = len(shown) != len(self._lines)
        self._lines = shown
        self.refresh(layout=grown)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One row for each line."""
        return len(self._lines)

    def notify_style_update(self) -> None:
        """The theme has changed."""
        super().notify_style_update()
        self._palette = None

    def render_line(self, y: int) -> Strip:
        """The line at `y`."""
        if self._palette is None:
            self._palette = palette_of(self, "lines")
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, self._palette.base)
        return Strip(self._segments(self._lines[y], self._palette)).adjust_cell_length(
            width, self._palette.base
        )

    def _segments(self, line: Line, palette: Palette) -> list[Segment]:
        segments: list[Segment] = []
        line = self._roomy(line)
        gaps = [_LABEL_GAP if cell.level is Level.DIM else _GAP for cell in line[:-1]]
        widths = _fitting([self._width(cell) for cell in line], self.size.width - sum(gaps))
        if self._spread and gaps:
            gaps[-1] += max(0, self.size.width - sum(widths) - sum(gaps))
        for cell, width, gap in zip(line, widths, [*gaps, 0], strict=True):
            segments += paint(cell, width, palette, glyphs_of(self))
            segments.append(Segment(" " * gap, palette.base))
        return segments

    def _roomy(self, line: Line) -> Line:
        """A title without the plain words that it has no room for, from the right; the rest as it is."""
        kept = list(line)
        while self._spread and self._needed(kept) > self.size.width:
            plain = [i for i, cell in enumerate(kept[:-1]) if cell.level is Level.PLAIN]
            if not plain:
                break
            del kept[plain[-1]]
        return tuple(kept)

    def _needed(self, cells: Sequence[Cell]) -> int:
        return sum(map(self._width, cells)) + _GAP * max(0, len(cells) - 1)

    def _width(self, cell: Cell) -> int:
        # Where the terminal is narrow, bars give way to the text.
        wide = self.size.width // 6 if self.size.width > 90 else 0
        room = 0 if cell.bar is None else min(40, max(_BAR_ROOM, wide))
        return cell_len(glyphs_of(self).text(cell.text)) + room


def _fitting(widths: list[int], room: int) -> list[int]:
    """The longest text gives way and shows that it was cut; what stands after it stays."""
    over = sum(widths) - room
    if over > 0:
        longest = max(widths)
        widths[widths.index(longest)] = max(1, longest - over)
    return widths

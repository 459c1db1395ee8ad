"""A table that repaints only the cells that changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gpudoctor.present.cells import Row
from gpudoctor.present.columns import GAP, Column, Placed, place
from gpudoctor.present.glyphs import fitted
from gpudoctor.tui.copying import copy
from gpudoctor.tui.widgets.painter import LEVEL_CLASSES, Palette, level_css, paint
from gpudoctor.tui.widgets.styling import glyphs_of, palette_of

_HEADER = 1
_RIGHT = 3


class Grid(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a header that stays; the cursor follows its row wherever the order puts it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header",
        "grid--sorted",
        "grid--cursor",
        "grid--rest",
        "grid--held",
        *LEVEL_CLASSES,
    }
    DEFAULT_CSS = """
    Grid { height: auto; scrollbar-size-vertical: 1; overflow-x: hidden; }
    Grid .grid--header { color: $dim; text-style: bold; background: $panel; }
    Grid .grid--sorted { color: $accent; text-style: bold; background: $panel; }
    Grid .grid--rest { color: $track; }
    Grid .grid--held { color: $secondary; }
    Grid .grid--cursor { background: $boost; }
    Grid:focus .grid--cursor { background: $cursor; text-style: bold; }
    """ + level_css("Grid")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor(-1)", "Row up", show=False),
        Binding("down", "cursor(1)", "Row down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(0)", "First row", show=False),
        Binding("end", "edge(1)", "Last row", show=False),
        Binding("enter", "open", "Details", key_display="Enter"),
    ]

    class Opened(Message):
        """Enter or a second click on a row."""

        def __init__(self, grid: Grid, key: str) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

        @property
        def control(self) -> Grid:
            """The table whose row it is."""
            return self.grid

    class HeaderClicked(Message):
        """A click on a column's title."""

        def __init__(self, grid: Grid, column: str) -> None:
            super().__init__()
            self.grid = grid
            self.column = column

        @property
        def control(self) -> Grid:
            """The table whose header it is."""
            return self.grid

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "",
        opens: bool = True,
        dom_id: str | None = None,
    ) -> None:
        super().__init__(id=dom_id)
        self._opens = opens
        self._columns = tuple(columns)
        self._left_out: frozenset[str] = frozenset()
        self._empty = empty
        self._rows: tuple[Row, ...] = ()
        # Before the first rows the last line stands as it will stand with them.
        self._bare = False
        self._places: tuple[Placed, ...] = ()
        self._placed_width = 0
        self._cursor = 0
        self._key: str | None = None
        self._sorted: tuple[str, bool] | None = None
        self._palette: Palette | None = None
        self._strips: dict[int, Strip] = {}
        self.painted_cells = 0

    @property
    def _width(self) -> int:
        # The scrollbar comes and goes with the number of rows, and takes a column.
        return self.scrollable_content_region.width

    @property
    def selected(self) -> str | None:
        """The key of the row under the cursor."""
        return self._rows[self._cursor].key if self._rows else None

    def show(self, rows: Sequence[Row]) -> None:
        """Take these rows; repaint the cells that differ from what is shown."""
        old, self._rows = self._rows, tuple(rows)
        resized = len(old) != len(self._rows)
        if resized:
            self._measure()
        if self._bare == bool(self._rows):
            self._bare = not self._rows
            self.refresh_bindings()
        self._follow()
        if resized:
            self._repaint()
            return
        changed = [
            region
            for index, (before, after) in enumerate(zip(old, self._rows, strict=True))
            if before != after
            for region in self._changes(index, before, after)
        ]
        self.painted_cells += len(changed)
        if changed:
            self.refresh(*changed)

    def say_when_empty(self, words: str) -> None:
        """Stand this where no row is."""
        if words != self._empty:
            self._empty = words
            if not self._rows:
                self._repaint()

    def leave_out(self, columns: Collection[str]) -> None:
        """Show no column with one of these keys."""
        if self._left_out != frozenset(columns):
            self._left_out = frozenset(columns)
            self._place()
            self._repaint()

    def mark_sorted(self, column: str, down: bool) -> None:
        """Show in the header which column the rows are sorted by."""
        self._sorted = (column, down)
        self.refresh(Region(0, 0, self._width, _HEADER))

    def select(self, key: str) -> None:
        """Put the cursor on the row with this key, if there is one."""
        self._key = key
        self._follow()
        self._repaint()

    def _changes(self, index: int, before: Row, after: Row) -> list[Region]:
        self._strips.pop(index, None)
        y = index + _HEADER - self.scroll_offset.y
        if not _HEADER <= y < self.size.height:
            return []
        if before.faded != after.faded:
            return [Region(0, y, self._width, 1)]
        return [
            Region(spot.x, y, spot.width, 1)
            for spot in self._places
            if before.cells[spot.position] != after.cells[spot.position]
        ]

    def _follow(self) -> None:
        found = next((i for i, row in enumerate(self._rows) if row.key == self._key), None)
        target = min(self._cursor, max(0, len(self._rows) - 1)) if found is None else found
        if target != self._cursor:
            self._move(target)
        self._key = self.selected

    def _move(self, target: int) -> None:
        for index in (self._cursor, target):
            self._strips.pop(index, None)
            y = index + _HEADER - self.scroll_offset.y
            self.refresh(Region(0, y, self._width, 1))
        self._cursor = target
        self._key = self.selected
        self._reveal()

    def _reveal(self) -> None:
        room = self.size.height - _HEADER
        top = self.scroll_offset.y
        if room <= 0 or top <= self._cursor < top + room:
            return
        y = self._cursor if self._cursor < top else self._cursor - room + 1
        self.scroll_to(y=y, animate=False)

    def _measure(self) -> None:
        self.virtual_size = Size(self._width, len(self._rows) + _HEADER)

    def _repaint(self) -> None:
        self._strips.clear()
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All rows and the header."""
        return max(1, len(self._rows)) + _HEADER

    def notify_style_update(self) -> None:
        """The theme has changed."""
        super().notify_style_update()
        self._palette = None
        self._strips.clear()

    def on_resize(self) -> None:
        """Place the columns anew."""
        self._place()
        self._measure()
        self._repaint()
        self._reveal()

    def _place(self) -> None:
        self._placed_width = self._width
        self._places = place(self._columns, self._placed_width, self._left_out)
        self._strips.clear()

    def on_focus(self) -> None:
        """The cursor looks different where keys work."""
        self._strips.clear()

    def on_blur(self) -> None:
        """The cursor looks different where keys work."""
        self._strips.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Rows are cached by number, so scrolling needs no new strips, only a repaint."""
        super().watch_scroll_y(old_value, new_value)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The header, or the row that has been scrolled to this line."""
        if self._placed_width != self._width:
            self._place()
        if y == 0:
            return self._header()
        index = self.scroll_offset.y + y - _HEADER
        if not self._rows and y == _HEADER and self._empty:
            palette = self._styles()
            text = fitted(glyphs_of(self).text(self._empty), self._width, glyphs_of(self))
            return Strip([Segment(text, palette.rest)])
        if index >= len(self._rows):
            return Strip.blank(self._width, self._styles().base)
        strip = self._strips.get(index)
        if strip is None:
            strip = self._strips[index] = self._line(index)
        return strip

    def _styles(self) -> Palette:
        if self._palette is None:
            self._palette = palette_of(self, "grid")
        return self._palette

    def _line(self, index: int) -> Strip:
        row, palette = self._rows[index], self._styles()
        segments: list[Segment] = []
        for spot in self._places:
            if segments:
                segments.append(Segment(" " * GAP, palette.base))
            segments += paint(
                row.cells[spot.position],
                spot.width,
                palette,
                glyphs_of(self),
                right=spot.column.right,
                faded=row.faded,
            )
        strip = Strip(segments).extend_cell_length(self._width, palette.base)
        if index == self._cursor:
            strip = self._marked(strip)
        return strip

    def _marked(self, strip: Strip) -> Strip:
        cursor = self.get_component_rich_style("grid--cursor", partial=True)
        return Strip(
            [Segment(text, (style or Style.null()) + cursor) for text, style, _ in strip],
            strip.cell_length,
        )

    def _header(self) -> Strip:
        plain = self.get_component_rich_style("grid--header")
        marked = self.get_component_rich_style("grid--sorted")
        segments: list[Segment] = []
        for spot in self._places:
            if segments:
                segments.append(Segment(" " * GAP, plain))
            title, style = spot.column.title, plain
            if self._sorted and self._sorted[0] == spot.column.key:
                title, style = title + ("▼" if self._sorted[1] else "▲"), marked
            text = fitted(
                glyphs_of(self).text(title), spot.width, glyphs_of(self), right=spot.column.right
            )
            segments.append(Segment(text, style))
        return Strip(segments).extend_cell_length(self._width, plain)

    def action_cursor(self, by: int) -> None:
        """One row up or down."""
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        """One screenful up or down."""
        self._go(self._cursor + by * max(1, self.size.height - _HEADER))

    def action_edge(self, last: int) -> None:
        """The first or the last row."""
        self._go(len(self._rows) - 1 if last else 0)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing is to be opened where no row is; the last line then does not offer it."""
        return action != "open" or (self._opens and not self._bare)

    def action_open(self) -> None:
        """Ask for the details of the row."""
        if self.selected is not None and self._opens:
            self.post_message(self.Opened(self, self.selected))

    def _go(self, target: int) -> None:
        if self._rows:
            self._move(min(len(self._rows) - 1, max(0, target)))

    def on_click(self, event: events.Click) -> None:
        """Select a row, open the one that is selected, or sort by a title; the right button copies."""
        if event.y == 0:
            spot = next((s for s in self._places if s.x <= event.x <= s.x + s.width), None)
            if spot is not None:
                self.post_message(self.HeaderClicked(self, spot.column.key))
            return
        index = self.scroll_offset.y + event.y - _HEADER
        if index >= len(self._rows):
            return
        if event.button == _RIGHT:
            self._copy(index, event.x)
        elif index == self._cursor and event.chain > 1:
            self.action_open()
        else:
            self._go(index)

    def _copy(self, index: int, x: int) -> None:
        """Copy what stands in the cell at `x`."""
        spot = next((s for s in self._places if s.x <= x < s.x + s.width), None)
        text = self._rows[index].cells[spot.position].text.strip() if spot else ""
        if text:
            copy(self.app, text)

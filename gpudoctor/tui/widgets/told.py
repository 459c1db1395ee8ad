"""Lines of words; where one is wrapped, what goes on stands under what it goes on with."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.geometry import Size
from textual.widgets import Static

from gpudoctor.present.hanging import hung
from gpudoctor.present.words import Words
from gpudoctor.tui.widgets.styling import worded


class Told(Static):
    """As wide as its longest line where its width is automatic."""

    def __init__(self, lines: Iterable[Words] = (), *, dom_id: str | None = None) -> None:
        super().__init__(id=dom_id)
        self._lines = tuple(lines)

    def tell(self, lines: Iterable[Words]) -> None:
        """Show these lines."""
        self._lines = tuple(lines)
        self.refresh(layout=True)

    def _painted(self, width: int) -> Text:
        whole = [worded(self, (words,)) for words in self._lines]
        return Text("\n").join(part for one in whole for part in hung(one, width))

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """The longest line."""
        return max((worded(self, (words,)).cell_len for words in self._lines), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """All lines, each with what it takes to show it in `width` columns."""
        return self._painted(width).plain.count("\n") + 1 if self._lines else 0

    def render(self) -> Text:
        """The lines, as this widget is wide."""
        return self._painted(self.content_size.width)

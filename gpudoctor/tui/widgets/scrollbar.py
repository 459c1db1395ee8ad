"""A scrollbar for terminals without block characters."""

from __future__ import annotations

from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender


class _PlainRender(ScrollBarRender):
    """Whole characters only: the default begins and ends within one, by block characters."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "]
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "]


def draw_scrollbars(*, plain: bool) -> None:
    """Draw all scrollbars of this process so."""
    ScrollBar.renderer = _PlainRender if plain else ScrollBarRender

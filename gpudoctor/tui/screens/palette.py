"""All that keys do, by its name."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import CommandPalette

from gpudoctor.tui.widgets.keybar import KeyBar


class Palette(CommandPalette):
    """Textual's, over a last line of its own: the keys of the screen below do not work in it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "escape", "Back")]

    def compose(self) -> ComposeResult:
        """The search, the commands, the keys."""
        yield from super().compose()
        yield KeyBar()

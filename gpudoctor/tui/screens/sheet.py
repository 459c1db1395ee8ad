"""A box with lines of words over the screen below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from gpudoctor.present.words import Words
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.styling import glyphs_of
from gpudoctor.tui.widgets.told import Told


class Sheet(ModalScreen[None]):
    """Subclasses and callers say what stands on it."""

    AUTO_FOCUS = "#sheet"
    BINDINGS: ClassVar[list[BindingType]] = [
        # First, so that what subclasses have Enter do stands first.
        Binding("enter", "leave", "Back", key_display="Esc"),
        Binding("escape,q", "leave", "Back"),
    ]

    def __init__(
        self, title: str, lines: Iterable[Words] = (), keys: str = "Esc goes back"
    ) -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._keys = keys

    def compose(self) -> ComposeResult:
        """The box."""
        box = VerticalScroll(Told(dom_id="sheet-text"), id="sheet")
        box.border_title = self._title
        yield box
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what is known so far."""
        self.tell(self._lines, self._keys)

    def tell(self, lines: Iterable[Words], keys: str) -> None:
        """Show these lines, and these words about the keys under them."""
        self._lines = tuple(lines)
        self.query_one("#sheet-text", Told).tell(self._lines)
        self.query_one("#sheet").border_subtitle = glyphs_of(self.query_one("#sheet")).text(keys)

    def action_leave(self) -> None:
        """Close it."""
        self.dismiss(None)

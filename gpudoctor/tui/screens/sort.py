"""Chooses the column to sort by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from gpudoctor.present.columns import Column
from gpudoctor.tui.widgets.choices import Choices
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.styling import glyphs_of


class _Sorts(Choices):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "Sort by it")]


class SortScreen(ModalScreen[str | None]):
    """A list of columns; closes with the key of the chosen one, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,f6", "dismiss(None)", "Back")]

    def __init__(
        self, columns: Sequence[Column], keys: Sequence[str], key: str, *, down: bool
    ) -> None:
        super().__init__()
        titles = {column.key: column.title for column in columns}
        self._choices = [(one, titles[one]) for one in keys]
        self._present = key
        self._down = down

    def compose(self) -> ComposeResult:
        """The columns that can be sorted by."""
        options = [Option(self._label(key, title), id=key) for key, title in self._choices]
        box = _Sorts(*options, dom_id="sort")
        box.border_title = "Sort by"
        box.border_subtitle = "Enter sorts, Esc leaves"
        yield box
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin at the present column."""
        keys = [key for key, _ in self._choices]
        self.query_one(OptionList).highlighted = keys.index(self._present)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the choice back to the table."""
        self.dismiss(str(event.option.id))

    def _label(self, key: str, title: str) -> str:
        if key != self._present:
            return f"  {title}"
        arrow = "▼" if self._down else "▲"
        return f"{glyphs_of(self).text(arrow)} {title}"

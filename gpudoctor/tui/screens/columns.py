"""Chooses which columns a table shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from gpudoctor.present.columns import Column
from gpudoctor.tui.widgets.choices import Choices
from gpudoctor.tui.widgets.keybar import KeyBar

Hidden = tuple[str, ...]


class _Turns(Choices):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "Show or hide")]


class ColumnsScreen(ModalScreen[None]):
    """A list of columns, each with a mark where it is shown; every change is told at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "Show or hide", show=False),
        Binding("escape,q,f2", "dismiss(None)", "Back"),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        keys: Sequence[str],
        hidden: Hidden,
        changed: Callable[[Hidden], None],
    ) -> None:
        super().__init__()
        titles = {column.key: column.title for column in columns}
        self._titles = {key: titles[key] for key in keys}
        self._hidden = frozenset(hidden)
        self._changed = changed

    def compose(self) -> ComposeResult:
        """The columns that may be hidden."""
        options = [Option(self._label(key), id=key) for key in self._titles]
        box = _Turns(*options, dom_id="columns")
        box.border_title = "Columns"
        box.border_subtitle = "Enter turns, Esc leaves"
        yield box
        yield KeyBar()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self._turn(str(event.option.id))

    def action_turn(self) -> None:
        """Show the column under the cursor, or hide it."""
        box = self.query_one(OptionList)
        if box.highlighted is not None:
            self._turn(str(box.get_option_at_index(box.highlighted).id))

    def _turn(self, key: str) -> None:
        self._hidden ^= {key}
        self.query_one(OptionList).replace_option_prompt(key, self._label(key))
        self._changed(tuple(one for one in self._titles if one in self._hidden))

    def _label(self, key: str) -> str:
        return f"{' ' if key in self._hidden else 'x'} {self._titles[key]}"

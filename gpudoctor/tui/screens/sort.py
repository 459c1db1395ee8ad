"""Chooses the column to sort by."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from gpudoctor.present.processes import COLUMNS, SORT_KEYS, Order, natural


class SortScreen(ModalScreen[Order | None]):
    """A list of columns; choosing the present one turns its order round."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,f6", "dismiss(None)", "Back")]

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._order = order

    def compose(self) -> ComposeResult:
        """The columns that can be sorted by."""
        titles = {column.key: column.title for column in COLUMNS}
        options = [Option(self._label(key, titles[key]), id=key) for key in SORT_KEYS]
        box = OptionList(*options, id="sort", compact=True)
        box.border_title = "Sort by"
        yield box

    def on_mount(self) -> None:
        """Begin at the present column."""
        self.query_one(OptionList).highlighted = SORT_KEYS.index(self._order.key)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the choice back to the table."""
        key = str(event.option.id)
        if key == self._order.key:
            self.dismiss(Order(key, not self._order.down))
        else:
            self.dismiss(natural(key))

    def _label(self, key: str, title: str) -> str:
        if key != self._order.key:
            return f"  {title}"
        return f"{'v' if self._order.down else '^'} {title}"

"""A short list to choose from, whose last line says what Enter does."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option


class Choices(OptionList):
    """Subclasses may name Enter otherwise."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "Choose")]

    def __init__(self, *options: Option, dom_id: str) -> None:
        super().__init__(*options, id=dom_id, compact=True, markup=False)

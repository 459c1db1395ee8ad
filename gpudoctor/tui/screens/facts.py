"""A screen of names and values under a title, with a graph where there is a history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from gpudoctor.present.cells import Level
from gpudoctor.present.facts import Fact
from gpudoctor.present.graph import area
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.lines import Lines

_GRAPH_ROWS = 6
_STYLES = {Level.DIM: "dim", Level.WARN: "bold", Level.BAD: "bold reverse"}


class FactsScreen(LiveScreen):
    """Subclasses say which facts."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "app.pop_screen", "Back")]

    def compose(self) -> ComposeResult:
        """Title, facts, keys."""
        yield Lines(spread=True, dom_id="title")
        yield VerticalScroll(Static(id="facts"), Static(id="history"), id="page")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Give the keys to the page."""
        self.query_one("#page").focus()

    def show_facts(self, facts: Iterable[Fact]) -> None:
        """Show these names and values."""
        text, set_ = Text(), self.doctor.glyphs
        for fact in facts:
            if fact.heading:
                text.append(f"\n{set_.text(fact.name)}\n", "bold underline")
                continue
            text.append(f"{set_.text(fact.name):>24}  ", "dim")
            text.append(set_.text(fact.value) + "\n", _STYLES.get(fact.level, ""))
        self.query_one("#facts", Static).update(text)

    def show_history(self, title: str, values: list[float | None]) -> None:
        """Show one graph under the facts; `values` are shares of 1."""
        width = max(10, self.size.width - 6)
        lines = area(values, width, _GRAPH_ROWS, self.doctor.glyphs)
        text = Text(f"\n{self.doctor.glyphs.text(title)}\n", "bold")
        text.append("\n".join(lines), "not bold")
        self.query_one("#history", Static).update(text)

"""A screen of names and values under a title, under a graph where there is a history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from gpudoctor.present.cells import Level
from gpudoctor.present.facts import Fact
from gpudoctor.present.graph import area
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

_GRAPH_ROWS = 6
_GRAPH_ROWS_LOW = 3
_LOW = 30
_COLUMN_WIDTH = 72
_NAME_WIDTH = 25


class FactsScreen(LiveScreen):
    """Subclasses say which facts."""

    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back", key_display="Esc")
    ]

    def compose(self) -> ComposeResult:
        """Title, facts, keys."""
        yield Lines(spread=True, dom_id="title")
        yield VerticalScroll(Static(id="history"), Static(id="facts"), id="page")
        yield KeyBar()

    def show_facts(self, facts: Iterable[Fact]) -> None:
        """Show these names and values, in as many columns as the terminal has room for."""
        blocks = list(_blocks(facts))
        across = min(len(blocks), max(1, self.size.width // _COLUMN_WIDTH))
        table = Table.grid(expand=True, padding=(0, 2, 0, 0))
        for _ in range(across):
            table.add_column(ratio=1)
        table.add_row(*(self._column(part) for part in balanced(blocks, across)))
        self.query_one("#facts", Static).update(table)

    def _column(self, blocks: list[list[Fact]]) -> Group:
        parts: list[RenderableType] = []
        for block in blocks:
            if block[0].heading:
                parts.append(Text(f"\n{self.doctor.glyphs.text(block[0].name)}", "bold underline"))
            parts.append(self._block([fact for fact in block if not fact.heading]))
        return Group(*parts)

    def _block(self, facts: list[Fact]) -> Table:
        colours, set_ = self.app.theme_variables, self.doctor.glyphs
        styles = {
            Level.DIM: colours["dim"],
            Level.WARN: f"bold {colours['warning']}",
            Level.BAD: f"bold {colours['error']}",
        }
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=_NAME_WIDTH, justify="right", style=colours["dim"])
        table.add_column(overflow="fold")
        for fact in facts:
            value = Text(set_.text(fact.value), styles.get(fact.level, ""))
            table.add_row(Text(set_.text(fact.name)), value)
        return table

    @property
    def graph_width(self) -> int:
        """How many values the graph shows."""
        return max(10, self.size.width - 6)

    def show_history(self, title: str, values: list[float | None]) -> None:
        """Show one graph above the facts; `values` are shares of 1."""
        # In a low terminal the facts are what the screen was opened for.
        rows = _GRAPH_ROWS_LOW if self.size.height < _LOW else _GRAPH_ROWS
        lines = area(values, self.graph_width, rows, self.doctor.glyphs)
        text = Text(f"\n{self.doctor.glyphs.text(title)}\n", "bold")
        text.append("\n".join(lines), "not bold")
        self.query_one("#history", Static).update(text)


def balanced(blocks: list[list[Fact]], across: int) -> list[list[list[Fact]]]:
    """The blocks in `across` columns of about the same height, in order."""
    columns: list[list[list[Fact]]] = [[] for _ in range(across)]
    total = sum(len(block) + 1 for block in blocks)
    begun = 0
    for block in blocks:
        middle = begun + (len(block) + 1) / 2
        columns[min(across - 1, int(middle * across / total))].append(block)
        begun += len(block) + 1
    return columns


def _blocks(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    block: list[Fact] = []
    for fact in facts:
        if fact.heading and block:
            yield block
            block = []
        block.append(fact)
    if block:
        yield block

"""Tables of the terminal reports of profiles."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text


def title(words: str) -> Text:
    """A table's title, after an empty line."""
    return Text("\n" + words, style="bold")


def table(titles: tuple[str, ...]) -> Table:
    """An empty table; all columns but the first are set right."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for position, title in enumerate(titles):
        grid.add_column(title, justify="right" if position else "left", no_wrap=True)
    return grid

"""Lines of words with levels, for what is told in sentences and not in tables."""

from __future__ import annotations

from gpudoctor import units
from gpudoctor.present.cells import Cell, Level

# The cells of a line stand side by side, with nothing between them.
Words = tuple[Cell, ...]


def line(text: str, level: Level = Level.PLAIN) -> Words:
    """One line of one level; what is foreign in it is made safe to show."""
    return (Cell(units.printable(text), level),)


def plain(words: Words) -> str:
    """The text alone."""
    return "".join(cell.text for cell in words)

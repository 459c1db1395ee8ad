"""What stands in one cell of a table, and how urgent it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gpudoctor.units import UNKNOWN


class Level(StrEnum):
    """How a value is to be seen. Colours of the UI and of the text follow from it."""

    PLAIN = "plain"
    DIM = "dim"
    GOOD = "good"
    NOTICE = "notice"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with its level; with `bar` (0 to 1) a bar fills what the text leaves of the cell."""

    text: str
    level: Level = Level.PLAIN
    bar: float | None = None


NOTHING = Cell(UNKNOWN, Level.DIM)


def cell(text: str, level: Level = Level.PLAIN, bar: float | None = None) -> Cell:
    """A cell; what is unknown is always dim."""
    return NOTHING if text == UNKNOWN else Cell(text, level, bar)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `key` says which thing it is, whatever its place."""

    key: str
    cells: tuple[Cell, ...]
    faded: bool = False

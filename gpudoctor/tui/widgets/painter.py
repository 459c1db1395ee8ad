"""Turns cells into styled segments."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.glyphs import Glyphs, bar, fitted

LEVEL_CLASSES: frozenset[str] = frozenset({f"level--{level.value}" for level in Level})
_LEVEL_RULES: dict[Level, str] = {
    Level.DIM: "color: $dim;",
    Level.GOOD: "color: $success;",
    Level.NOTICE: "color: $accent;",
    Level.WARN: "color: $warning; text-style: bold;",
    Level.BAD: "color: $error; text-style: bold;",
}


def level_css(widget: str) -> str:
    """The default CSS of the level classes within a widget."""
    return "\n".join(
        f"{widget} .level--{level.value} {{ {rule} }}" for level, rule in _LEVEL_RULES.items()
    )


@dataclass(frozen=True, slots=True)
class Palette:
    """The styles of one widget under one theme: `rest` is a bar's empty part, `held` a plain bar."""

    base: Style
    levels: dict[Level, Style]
    rest: Style
    held: Style

    def of(self, level: Level, faded: bool = False) -> Style:
        """The style of a level; all of a faded row is dim."""
        return self.levels[Level.DIM if faded else level]


def paint(
    cell: Cell,
    width: int,
    palette: Palette,
    set_: Glyphs,
    *,
    right: bool = False,
    faded: bool = False,
) -> list[Segment]:
    """The cell in exactly `width` columns."""
    style = palette.of(cell.level, faded)
    text = set_.text(cell.text)
    room = width - cell_len(text) - 1
    if cell.bar is None or room < 3:
        return [Segment(fitted(text, width, set_, right=right), style)]
    full, rest = bar(cell.bar, room, set_)
    inked = palette.held if cell.level is Level.PLAIN and not faded else style
    worded = palette.of(Level.PLAIN, faded) if cell.level is Level.GOOD else style
    return [Segment(full, inked), Segment(rest + " ", palette.rest), Segment(text, worded)]

"""Reads the styles of a widget's levels from the theme."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from rich.text import Text
from textual.dom import DOMNode
from textual.widget import Widget

from gpudoctor.present.cells import Level
from gpudoctor.present.glyphs import Glyphs
from gpudoctor.present.words import Words
from gpudoctor.tui.widgets.painter import Palette


def palette_of(widget: Widget, prefix: str) -> Palette:
    """The palette of a widget that has the level classes; `prefix` begins its other classes."""
    base = widget.rich_style
    levels = {
        level: base + widget.get_component_rich_style(f"level--{level.value}", partial=True)
        for level in Level
    }
    track = base + widget.get_component_rich_style(f"{prefix}--rest", partial=True)
    held = base + widget.get_component_rich_style(f"{prefix}--held", partial=True)
    return Palette(base, levels, track, held)


class _HasGlyphs(Protocol):
    glyphs: Glyphs


def glyphs_of(widget: DOMNode) -> Glyphs:
    """The characters that this application's terminal has."""
    return cast(_HasGlyphs, widget.app).glyphs


def worded(node: DOMNode, lines: Iterable[Words]) -> Text:
    """Lines of words in the colours of the theme and the characters of the terminal."""
    colours, set_ = node.app.theme_variables, glyphs_of(node)
    styles = {
        Level.DIM: colours["dim"],
        Level.GOOD: colours["success"],
        Level.NOTICE: f"bold {colours['accent']}",
        Level.WARN: f"bold {colours['warning']}",
        Level.BAD: f"bold {colours['error']}",
    }
    text = Text()
    for number, words in enumerate(lines):
        if number:
            text.append("\n")
        for cell in words:
            text.append(set_.text(cell.text), styles.get(cell.level))
    return text

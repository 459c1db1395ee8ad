"""Reads the styles of a widget's levels from the theme."""

from __future__ import annotations

from typing import Protocol, cast

from textual.widget import Widget

from gpudoctor.present.cells import Level
from gpudoctor.present.glyphs import Glyphs
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


def glyphs_of(widget: Widget) -> Glyphs:
    """The characters that this application's terminal has."""
    return cast(_HasGlyphs, widget.app).glyphs

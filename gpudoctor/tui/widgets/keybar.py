"""The last line: which keys work here, read from the bindings. One widget, where Textual's has one a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from gpudoctor.tui.keys import key_name
from gpudoctor.tui.widgets.styling import glyphs_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it is shown, what it does, where it begins on the line, and its name."""

    shown: str
    words: str
    x: int
    key: str

    @property
    def end(self) -> int:
        """The first column after it."""
        return self.x + cell_len(self.shown) + 1 + cell_len(self.words)


class KeyBar(Widget):
    """Keys of the screen and of the focused widget; a click works like the key."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key"}
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; padding: 0 1; background: $panel; }
    KeyBar .keybar--key { color: $accent; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: tuple[Entry, ...] = ()

    def on_mount(self) -> None:
        """Follow the bindings, which change with the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)
        self._follow(self.screen)

    def _follow(self, screen: Screen[object]) -> None:
        entries: list[Entry] = []
        seen: set[str] = set()
        typing = isinstance(screen.focused, Input)
        x = 0
        for active in screen.active_bindings.values():
            binding = active.binding
            # A letter that is typed does nothing else; a key that types none does what it always does.
            name = key_name(binding.key)
            if typing and len(name) == 1:
                continue
            if binding.show and binding.action not in seen:
                seen.add(binding.action)
                shown = name if typing else glyphs_of(self).text(self.app.get_key_display(binding))
                entries.append(Entry(shown, binding.description, x, binding.key))
                x = entries[-1].end + 1
        if tuple(entries) != self._entries:
            self._entries = tuple(entries)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The keys, as many as fit."""
        base = self.rich_style
        style = base + self.get_component_rich_style("keybar--key", partial=True)
        segments: list[Segment] = []
        for entry in self._entries:
            if entry.end <= self.size.width:
                segments += [Segment(entry.shown, style), Segment(f" {entry.words} ", base)]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def on_click(self, event: events.Click) -> None:
        """Do what the key does."""
        x = event.x - self.gutter.left
        found = next((entry for entry in self._entries if entry.x <= x < entry.end), None)
        if found is not None and found.end <= self.size.width:
            self.app.simulate_key(found.key)

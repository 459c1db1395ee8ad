"""The keys of a screen, read from its bindings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from gpudoctor.tui.keys import key_name
from gpudoctor.tui.widgets.keybar import KeyBar

# Textual's own, which are of no use to the reader or are named elsewhere.
_HIDDEN = frozenset({"screen.copy_text", "screen.minimize", "app.focus_previous", "app.help_quit"})
_SIDEWAYS = frozenset({"scroll_left", "scroll_right", "page_left", "page_right"})
_SCROLLING = frozenset(
    {"scroll_up", "scroll_down", "scroll_home", "scroll_end", "page_up", "page_down"}
)
# How a line is edited everywhere needs no telling.
_EDITING = frozenset(one.action for one in Input.BINDINGS if isinstance(one, Binding)) - {"submit"}


def key_lines(bindings: Iterable[ActiveBinding]) -> list[tuple[str, str]]:
    """Keys and what they do, one line for each action; those that work on every screen stand last."""
    keys: dict[tuple[str, str], list[str]] = {}
    for active in sorted(bindings, key=lambda one: isinstance(one.node, App)):
        action, words = _told(active)
        if not words:
            continue
        name = key_name(active.binding.key)
        # The screen and the field that is typed into may name different actions alike.
        listed = keys.setdefault((action, words), [])
        if name not in listed:
            listed.append(name)
    return [(" ".join(listed), words) for (_, words), listed in keys.items()]


def _told(active: ActiveBinding) -> tuple[str, str]:
    """Action and words; no words where there is nothing to tell."""
    binding = active.binding
    edits = isinstance(active.node, Input) and binding.action in _EDITING
    moves = isinstance(active.node, Screen) and binding.description == "Focus Next"
    if edits or moves or binding.action in _HIDDEN | _SIDEWAYS:
        return binding.action, ""
    if binding.action in _SCROLLING:
        return "scroll", "" if isinstance(active.node, Input) else "Scroll"
    return binding.action, binding.description


class HelpScreen(ModalScreen[None]):
    """What every key does on the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "Back")
    ]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._lines = key_lines(below.active_bindings.values())

    def compose(self) -> ComposeResult:
        """A list of keys."""
        box = VerticalScroll(Static(self._text()), id="help")
        box.border_title = "Keys"
        box.border_subtitle = "Esc goes back"
        yield box
        yield KeyBar()

    def _text(self) -> Text:
        text = Text()
        for keys, words in self._lines:
            text.append(f"{keys:>21}", "bold")
            text.append(f"  {words}\n")
        return text

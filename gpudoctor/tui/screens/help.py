"""The keys of a screen, read from its bindings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from gpudoctor.tui.keys import key_name

# Textual's own, which are of no use to the reader or are named elsewhere.
_HIDDEN = frozenset({"screen.copy_text", "screen.minimize", "app.focus_previous", "app.help_quit"})


def key_lines(bindings: Iterable[Binding]) -> list[tuple[str, str]]:
    """Keys and what they do, one line for each action."""
    keys: dict[tuple[str, str], list[str]] = {}
    for binding in bindings:
        if binding.action in _HIDDEN or not binding.description:
            continue
        name = key_name(binding.key)
        # The screen and the field that is typed into may name different actions alike.
        listed = keys.setdefault((binding.action, binding.description), [])
        if name not in listed:
            listed.append(name)
    return [(" ".join(listed), words) for (_, words), listed in keys.items()]


class HelpScreen(ModalScreen[None]):
    """What every key does on the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "Back", show=False)
    ]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._lines = key_lines(active.binding for active in below.active_bindings.values())

    def compose(self) -> ComposeResult:
        """A list of keys."""
        box = VerticalScroll(Static(self._text()), id="help")
        box.border_title = "Keys"
        box.border_subtitle = "Esc goes back"
        yield box

    def _text(self) -> Text:
        text = Text()
        for keys, words in self._lines:
            text.append(f"{keys:>21}", "bold")
            text.append(f"  {words}\n")
        return text

"""What our applications have in common: themes, the keys of every screen, and typing ahead of a filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.actions import ActionParseResult
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input

from gpudoctor.present.glyphs import Glyphs
from gpudoctor.tui.keys import key_name
from gpudoctor.tui.look import Look
from gpudoctor.tui.themes import NAMES, THEMES, VARIABLES, following
from gpudoctor.tui.widgets.scrollbar import draw_scrollbars

# Nobody types the name of these; Textual's palette has its own ways to quit and to choose a theme.
_NOT_OFFERED = frozenset(
    {"cursor", "page", "edge", "app.focus_next", "app.focus_previous", "quit", "next_theme"}
    | {"command_palette", "screen.copy_text", "screen.minimize", "app.help_quit"}
)


class BaseApp(App[None]):
    """An application in our colours; subclasses bind the theme's key, so that it stands last."""

    TITLE = "gpudoctor"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,f10", "quit", "Quit", key_display="q"),
        Binding("question_mark,f1", "help", "Help", key_display="?"),
        Binding("ctrl+p", "command_palette", "All commands", show=False, priority=True),
    ]

    def __init__(self, theme: str, set_: Glyphs, look: Look, complaint: str) -> None:
        super().__init__()
        for known in THEMES:
            self.register_theme(known)
        self.look = look
        self.theme = self._begun_with = theme or look.theme or NAMES[0]
        self.glyphs = set_
        self._complaint = complaint

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The colours that a theme may leave out."""
        return VARIABLES

    def on_load(self) -> None:
        """Before anything is painted: a scrollbar is not painted again for this."""
        draw_scrollbars(plain=self.glyphs.plain)

    def on_mount(self) -> None:
        """Borders, too, are drawn with what the terminal has."""
        self.set_class(self.glyphs.plain, "plain-glyphs")
        # Among sixteen colours the one under the cursor may be that of the page.
        self.set_class(self.console.color_system == "standard", "few-colours")
        if self._complaint:
            self.notify(self._complaint, severity="warning", markup=False)

    def left(self) -> Look:
        """How the screen is left; a theme that the settings name is none that was chosen here."""
        chosen = self.theme != self._begun_with
        return replace(self.look, theme=self.theme) if chosen else self.look

    def on_key(self, event: events.Key) -> None:
        """Give to the filter what was typed ahead of it: such keys went to the table before it opened."""
        if event.is_printable and isinstance(self.focused, Input):
            self.focused.post_message(events.Key(event.key, event.character))

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Nothing more once it is being left: a screen that opened then would have none of its parts."""
        if self.return_code is not None:
            return True
        return await super().run_action(action, default_namespace, namespaces)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers: Textual's own, and all that a key of this screen does."""
        yield from super().get_system_commands(screen)
        seen: set[str] = set()
        for active in screen.active_bindings.values():
            one = active.binding
            known = one.action.split("(")[0] in _NOT_OFFERED
            if one.action in seen or known or not one.description:
                continue
            seen.add(one.action)
            work = partial(self.run_action, one.action, active.node)
            yield SystemCommand(one.description, f"the key {self.get_key_display(one)}", work)

    def get_key_display(self, binding: Binding) -> str:
        """The name of a key: as in the help, on the last line and in the palette."""
        return binding.key_display or key_name(binding.key)

    def action_command_palette(self) -> None:
        """The palette, in words that the terminal has characters for."""
        from gpudoctor.tui.screens.palette import Palette

        if not isinstance(self.screen, Palette):
            asked = self.glyphs.text("Search for commands…")
            self.push_screen(Palette(placeholder=asked, id="--command-palette"))

    def action_help(self) -> None:
        """The keys of the screen that is shown."""
        from gpudoctor.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_next_theme(self) -> None:
        """The next of our themes."""
        self.theme = following(self.theme)

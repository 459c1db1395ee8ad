"""The application of `gpudoctor fleet`: needs no GPU and no driver here."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from gpudoctor.present.fleet import FleetOrder
from gpudoctor.present.glyphs import UNICODE, Glyphs
from gpudoctor.tui.base import BaseApp
from gpudoctor.tui.look import Look
from gpudoctor.tui.screens.fleet import FleetScreen, FleetSource


class FleetApp(BaseApp):
    """Many machines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("L", "next_theme", "Theme"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        source: FleetSource,
        *,
        order: FleetOrder | None = None,
        theme: str = "",
        set_: Glyphs = UNICODE,
        look: Look = Look(),  # noqa: B008 - it never changes
        complaint: str = "",
    ) -> None:
        super().__init__(theme, set_, look, complaint)
        self._source = source
        self._order = order

    def get_default_screen(self) -> FleetScreen:
        """The machines."""
        return FleetScreen(self._source, self._order)

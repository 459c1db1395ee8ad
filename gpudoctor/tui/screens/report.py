"""What a gpudoctor command says of sessions that were kept, as its own text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.host import title_cells
from gpudoctor.tui.errands import Errand
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.sessions import browser, open_with
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines
from gpudoctor.tui.widgets.styling import glyphs_of

_LIMIT_S = 120.0


class ReportScreen(LiveScreen):
    """Runs the command once, which only reads, and shows what it prints. `folder` holds report.html."""

    AUTO_FOCUS = "#report"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back", key_display="Esc"),
        Binding("o", "page", "HTML page"),
    ]

    def __init__(self, title: str, arguments: Sequence[str], folder: Path | None = None) -> None:
        super().__init__()
        self._title = title
        self._arguments = tuple(arguments)
        self._folder = folder

    def compose(self) -> ComposeResult:
        """Title, where it is kept, the report."""
        yield Lines(spread=True, dom_id="title")
        yield Static(id="kept")
        yield VerticalScroll(Static(id="report-text"), id="report")
        yield KeyBar()

    def on_mount(self) -> None:
        """Have it printed as wide as there is room."""
        super().on_mount()
        self.query_one("#kept", Static).update(self._heading())
        self.query_one("#report-text", Static).update(Text("Reading …"))
        width = max(40, self.app.size.width - 5)
        apart(self.app, lambda: self._printed(width), self._arrived)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """The title alone is about the machine."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))

    @property
    def _html(self) -> Path | None:
        return None if self._folder is None else self._folder / "report.html"

    def _heading(self) -> Text:
        text = Text(glyphs_of(self).text(self._title), "bold", no_wrap=True, overflow="ellipsis")
        if self._html is not None:
            # Terminals that know OSC 8 make it a link.
            link = Style(link=self._html.absolute().as_uri(), underline=True)
            text.append("  ").append(str(self._html), link)
        return text

    def _printed(self, width: int) -> bytes:
        colours = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": ""}
        plain = bool(os.environ.get("NO_COLOR")) or self.app.theme == "plain"
        environ = {"COLUMNS": str(width), **({"NO_COLOR": "1"} if plain else colours)}
        errand = Errand(self._arguments, environ=environ)
        errand.start()
        if not errand.wait(_LIMIT_S) or errand.code != 0:
            errand.stop()
            said = " ".join(errand.talk.lines()).strip()
            raise GpuDoctorError("it cannot be shown", cause=said or errand.failure)
        return errand.output

    def _arrived(self, came: bytes | GpuDoctorError) -> None:
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            words = Text(": ".join(filter(None, (came.message, came.cause))))
        else:
            words = Text.from_ansi(
                glyphs_of(self).text(came.decode("utf-8", "replace").strip("\n"))
            )
        self.query_one("#report-text", Static).update(words)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A comparison has no page of its own."""
        return action != "page" or self._html is not None

    def action_page(self) -> None:
        """Open the HTML report where there is a display; say where it is, and copy that, elsewhere."""
        if self._html is not None:
            open_page(self.app, self._html)


def open_page(app: App[None], path: Path) -> None:
    """Opens a report where there is a display; says where it is, and copies that, elsewhere."""
    program = browser(os.environ)
    if program is None:
        app.copy_to_clipboard(str(path))
        app.notify(f"{path}\n(copied: there is no display here)", markup=False)
        return

    def opened(came: GpuDoctorError | None) -> None:
        if isinstance(came, GpuDoctorError):
            app.notify(f"{came.message}: {came.cause}", severity="warning", markup=False)

    apart(app, lambda: open_with(program, path), opened)

"""A command while it runs: how long, how far, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.host import title_cells
from gpudoctor.tui.errands import Errand
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines
from gpudoctor.tui.widgets.styling import glyphs_of

_TICK_S = 0.25
_LOOK_TICKS = 4
_NO_WORD = "(it has said nothing yet)"

# Reads in the background what the command left, and gives what makes the screen that shows it; None: it
# failed, and what it said tells why.
Make = Callable[[], Screen[None]]
Next = Callable[[Errand], Make | None]


class RunEnded(Message):
    """A command that was left running is over."""


class RunScreen(LiveScreen):
    """Esc ends the command; Backspace leaves it running. What it gathered is kept either way."""

    AUTO_FOCUS = "#talk"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop, then back", key_display="Esc"),
        Binding("escape,backspace", "back", "Back", key_display="Esc"),
        Binding("backspace", "leave", "Leave it running", key_display="Backspace"),
    ]

    def __init__(self, title: str, errand: Errand, progress: Callable[[], str], then: Next) -> None:
        super().__init__()
        self._title = title
        self._errand = errand
        self._progress = progress
        self._then = then
        self._far = ""
        self._ticks = 0
        self._looking = self._concluded = False

    def compose(self) -> ComposeResult:
        """Title, how it stands, what it says."""
        yield Lines(spread=True, dom_id="title")
        yield Lines(dom_id="standing")
        box = VerticalScroll(Static(id="talk-text"), id="talk")
        box.border_title = "what it says"
        yield box
        yield KeyBar()

    def on_mount(self) -> None:
        """Follow it."""
        super().on_mount()
        self.set_interval(_TICK_S, self._tick)
        self._tick()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """The title alone is about the machine."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))

    def _tick(self) -> None:
        errand = self._errand
        if self._concluded:
            return
        self._show_talk()
        if errand.over:
            self._conclude()
            self._stand("reading what it left …", Level.NOTICE)
            apart(self.app, lambda: self._then(errand), self._arrived)
            return
        if self._ticks % _LOOK_TICKS == 0 and not self._looking:
            self._looking = True
            apart(self.app, self._progress, self._got_further)
        self._ticks += 1
        self._stand("ending it; Esc again: at once" if errand.stopped else "running", Level.NOTICE)

    def _got_further(self, came: str | GpuDoctorError) -> None:
        self._looking = False
        if isinstance(came, str):
            self._far = came

    def _stand(self, what: str, level: Level) -> None:
        took = units.duration(float(round(self._errand.seconds)))
        cells = [Cell(self._title, Level.PLAIN), Cell(what, level), Cell(took)]
        if self._far:
            cells.append(Cell(self._far, Level.DIM))
        self.query_one("#standing", Lines).show((tuple(cells),))

    def _show_talk(self) -> None:
        box = self.query_one("#talk", VerticalScroll)
        below = box.scroll_y >= box.max_scroll_y - 1
        words = "\n".join(map(units.printable, self._errand.talk.lines())) or _NO_WORD
        self.query_one("#talk-text", Static).update(Text(glyphs_of(self).text(words)))
        if below:
            box.scroll_end(animate=False)

    def _arrived(self, came: Make | GpuDoctorError | None) -> None:
        here = self.is_attached and self.app.screen is self
        if isinstance(came, GpuDoctorError):
            self._failed(": ".join(filter(None, (came.message, came.cause))))
        elif came is None:
            self._failed(self._errand.failure or self._last_word())
        elif here:
            self.app.switch_screen(came())
        else:
            self._say_done()

    def _last_word(self) -> str:
        if self._errand.stopped:
            return "ended before there was anything to keep"
        said = [line for line in self._errand.talk.lines() if line.startswith("error: ")]
        return (
            said[-1].removeprefix("error: ") if said else f"failed, exit code {self._errand.code}"
        )

    def _failed(self, why: str) -> None:
        if self.is_attached:
            self._show_talk()
            self._stand(units.printable(why), Level.WARN if self._errand.stopped else Level.BAD)
        if self.app.screen is not self:
            self.app.notify(why, title=self._title, severity="warning", markup=False)

    def _say_done(self) -> None:
        self.app.notify("It is over; its result is kept.", title=self._title, markup=False)
        self.app.screen.post_message(RunEnded())

    def _conclude(self) -> None:
        self._concluded = True
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is over can be left, and neither stopped nor left running."""
        if action in ("stop", "leave", "back"):
            return self._concluded == (action == "back")
        return super().check_action(action, parameters)

    def action_stop(self) -> None:
        """End the command."""
        self._errand.stop()
        self._tick()

    def action_back(self) -> None:
        """Go back to the form."""
        self.dismiss(None)

    def action_leave(self) -> None:
        """Go back; the command goes on, and its end is told."""
        self._conclude()
        errand = self._errand
        apart(self.app, lambda: self._then(errand) if errand.wait() else None, self._arrived)
        self.dismiss(None)

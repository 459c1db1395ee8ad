"""A screen whose rows come from a server that is asked again and again."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input, Label

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.present.cells import Cell, Level
from gpudoctor.tui.looking import apart
from gpudoctor.tui.widgets.filter import FilterInput
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

# Prometheus itself looks no more often than this, as a rule.
PERIOD_S = 15.0
# Sooner answers need no word about the wait.
_SLOW_S = 2.0
_T = TypeVar("_T")


class AskedScreen(Screen[None], Generic[_T]):
    """Title, one line about the answer, a table. What fails is said there; the last answer stays."""

    AUTO_FOCUS = "Grid"
    OPENED_BY = "fleet"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash,f4", "filter", "Filter", key_display="/"),
        Binding("r,f5", "ask", "Ask again", key_display="r"),
        Binding("escape,backspace", "clear", "Back", key_display="Esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.answer: _T | None = None
        self.query_words = ""
        self._error: GpuDoctorError | None = None
        self._answered_at: float | None = None
        self._asked_at: float | None = None
        self._next = 0.0

    @abstractmethod
    def ask(self) -> _T:
        """Ask the server; runs outside of the painting thread."""

    @abstractmethod
    def table(self) -> Grid:
        """The table, empty."""

    @abstractmethod
    def title_cells(self) -> tuple[Cell, ...]:
        """What stands at the left of the title."""

    @abstractmethod
    def summary(self, answer: _T) -> str:
        """The answer in one line."""

    @abstractmethod
    def fill(self, answer: _T) -> None:
        """Put the answer into the table."""

    def compose(self) -> ComposeResult:
        """The parts, top to bottom."""
        yield Lines(spread=True, dom_id="title")
        yield Lines(dom_id="told")
        yield self.table()
        with Horizontal(id="filter-bar"):
            yield Label("filter ")
            yield FilterInput(placeholder="words", id="filter", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask, and go on asking."""
        self.query_one("#filter-bar").display = False
        self.query_one("#filter", Input).cursor_blink = False
        self.action_ask()
        self.set_interval(1.0, self._tick)

    def action_ask(self) -> None:
        """Ask now, unless an answer is being waited for."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            apart(self.app, self.ask, self._answered)
            self._say()

    def _answered(self, came: _T | GpuDoctorError) -> None:
        self._asked_at = None
        self._next = time.monotonic() + PERIOD_S
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            self._error = came
        else:
            self._error, self.answer, self._answered_at = None, came, time.time()
            self.fill(came)
        self._say()

    def _tick(self) -> None:
        # A screen that lies under another one needs no answers.
        if self.is_current and self._asked_at is None and time.monotonic() >= self._next:
            self.action_ask()
        else:
            self._say()

    def _say(self) -> None:
        right = []
        if self._answered_at is not None:
            right = [Cell(time.strftime("%H:%M:%S", time.localtime(self._answered_at)))]
        self.query_one("#title", Lines).show(((*self.title_cells(), *right),))
        self.query_one("#told", Lines).show(self._standing())

    def _standing(self) -> list[tuple[Cell, ...]]:
        waited = 0.0 if self._asked_at is None else time.monotonic() - self._asked_at
        wait: tuple[Cell, ...] = ()
        if self._asked_at is not None and (waited >= _SLOW_S or self.answer is None):
            so_far = f" for {units.age(waited)}" if waited >= _SLOW_S else ""
            wait = (Cell(f"asking{so_far} …", Level.NOTICE),)
        if self._error is not None:
            lines: list[tuple[Cell, ...]] = [
                (Cell("!", Level.BAD), Cell(_why(self._error), Level.BAD), *wait)
            ]
            if self.answer is not None and self._answered_at is not None:
                age = units.age(time.time() - self._answered_at)
                lines.append((Cell(f"This is what it told {age} ago.", Level.WARN),))
            elif self._error.hint:
                lines.append((Cell(self._error.hint, Level.DIM),))
            return lines
        if self.answer is None:
            return [wait]
        return [(Cell(self.summary(self.answer)), *wait)]

    def refill(self) -> None:
        """Put the last answer into the table again."""
        if self.answer is not None:
            self.fill(self.answer)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The filter that is being typed is not opened again."""
        return action != "filter" or not isinstance(self.focused, FilterInput)

    def action_filter(self) -> None:
        """Type words that a row must have."""
        self.query_one("#filter-bar").display = True
        self.set_focus(self.query_one("#filter", Input))

    def action_clear(self) -> None:
        """Forget the filter; without one go back, where there is something to go back to."""
        box = self.query_one("#filter", Input)
        shown = self.query_one("#filter-bar").display
        box.value = ""
        self.query_one("#filter-bar").display = False
        self.query_one(Grid).focus()
        if not shown and len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        self.query_words = event.value
        self.refill()

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the rows."""
        self.query_one("#filter-bar").display = bool(self.query_words)
        self.query_one(Grid).focus()


def _why(error: GpuDoctorError) -> str:
    cause = f": {error.cause}" if error.cause else ""
    message = units.printable(f"{error.message}{cause}")
    return message[:1].upper() + message[1:]

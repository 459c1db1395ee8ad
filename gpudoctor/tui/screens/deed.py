"""Shows what will be done to a process, asks, and shows what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.present.cells import Level
from gpudoctor.present.words import Words, line, plain
from gpudoctor.tui.deeds import Deed, Done, failure
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.sheet import Sheet

_ASK = "Enter or y: do it · Esc or n: leave it"
_BACK = "Esc goes back"
_AGAIN = "r: look again · Esc goes back"


class AskScreen(Sheet):
    """Finds out what would be done, in the background, and asks. Subclasses say what a yes does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "agree", "Do it"),
        Binding("escape,n,q", "leave", "Back"),
    ]

    def __init__(self, title: str, prepare: Callable[[], tuple[Words, ...]]) -> None:
        super().__init__(title, (line("Looking …", Level.DIM),), _BACK)
        self._prepare = prepare
        self._plan: tuple[Words, ...] = ()
        self._state = "looking"

    def on_mount(self) -> None:
        """Find out what would be done."""
        super().on_mount()
        apart(self.app, self._prepare, self._prepared)

    def _prepared(self, came: tuple[Words, ...] | GpuDoctorError) -> None:
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            self.refuse(came)
            return
        self._plan = came
        self.become("asking")
        self.tell(came, _ASK)

    def become(self, state: str) -> None:
        """Looking, asking, refused, doing or over; which keys work depends on it."""
        self._state = state
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A yes is taken when it was asked for."""
        return action != "agree" or self._state == "asking"

    def action_agree(self) -> None:
        """Do it, once."""
        self.become("doing")
        self.agreed()

    def key_enter(self, event: events.Key) -> None:
        """A result is closed by the keys that agreed."""
        if self._state in ("over", "refused"):
            # It would go on to the screen below, which is in front by then.
            event.stop()
            self.dismiss(None)

    def key_y(self, event: events.Key) -> None:
        """As Enter does."""
        self.key_enter(event)

    def agreed(self) -> None:
        """What a yes does."""
        raise TypeError(f"{type(self).__name__} does nothing")

    def refuse(self, error: GpuDoctorError) -> None:
        """Say why it cannot be done."""
        self.become("refused")
        self.tell(failure(error), _BACK)


class DeedScreen(AskScreen):
    """Nothing is done before the question was answered; everything is done outside of this thread.

    A deed that only looks, and says so by `repeats`, is done again without another question.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "repeat", "Look again")]

    def __init__(self, deed: Deed) -> None:
        super().__init__(deed.title, deed.prepare)
        self._deed = deed
        self._begun = 0.0

    def agreed(self) -> None:
        """Do it."""
        self._begun = time.monotonic()
        self.set_interval(1.0, self._tick)
        self._tick()
        apart(self.app, self._deed.do, self._ended)

    def _tick(self) -> None:
        if self._state == "doing":
            so_far = units.age(time.monotonic() - self._begun)
            working = line(f"Working … {so_far}", Level.NOTICE)
            self.tell((*self._plan, line(""), working), "Esc closes this; the work goes on")

    def action_repeat(self) -> None:
        """Look again."""
        self._begun = time.monotonic()
        self.become("doing")
        apart(self.app, self._deed.do, self._ended)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what changes nothing is done again."""
        if action == "repeat":
            return self._state == "over" and self._repeats
        return super().check_action(action, parameters)

    @property
    def _repeats(self) -> bool:
        return bool(getattr(self._deed, "repeats", False))

    def _ended(self, came: Done | GpuDoctorError) -> None:
        self.become("over")
        done = Done(failure(came), ok=False) if isinstance(came, GpuDoctorError) else came
        if self.is_attached:
            self.tell(done.lines, _AGAIN if self._repeats else _BACK)
            if self._repeats:
                # Two looks may see the same; the time tells them apart.
                at = time.strftime("%H:%M:%S")
                self.query_one("#sheet").border_title = f"{self._deed.title} at {at}"
            return
        # Whoever closed the box still wants to know.
        self.app.notify(
            "\n".join(plain(words) for words in done.lines[:3]),
            title=self._deed.title,
            severity="information" if done.ok else "warning",
            markup=False,
        )

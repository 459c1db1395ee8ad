"""The list of what can be done to a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from gpudoctor.model.process import GpuProcess
from gpudoctor.present.explain import explanation
from gpudoctor.present.glyphs import fitted
from gpudoctor.present.parked import is_parked, parked_lines
from gpudoctor.present.processes import command_line
from gpudoctor.tui.deeds import Deed, EmptyCache, End, Stacks
from gpudoctor.tui.screens.deed import DeedScreen
from gpudoctor.tui.screens.live import Doctor, LiveScreen
from gpudoctor.tui.screens.sheet import Sheet
from gpudoctor.tui.widgets.choices import Choices
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.styling import glyphs_of

_WIDEST_TITLE = 58
_BORDER = 6
WATCHED_S = 10


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that can be done, with the key that chooses it in the list."""

    key: str
    name: str
    words: str
    single: bool = True
    # None: whether a process is parked makes no difference.
    parked: bool | None = None

    def fits(self, rows: Sequence[GpuProcess]) -> bool:
        """Whether it can be done to all of these."""
        return (len(rows) == 1 or not self.single) and all(
            self.parked in (None, is_parked(row)) for row in rows
        )


ACTS = (
    Act("x", "explain", "why it is, or is not, left over"),
    Act("s", "stacks", "where its Python threads are (py-spy)"),
    Act("r", "profile", f"watch it for {WATCHED_S} s, and say what holds it up", parked=False),
    Act("c", "empty cache", "torch gives back what it keeps cached", parked=False),
    Act("p", "park", "its GPU memory to the host's, and it waits", single=False, parked=False),
    Act("u", "unpark", "back to its GPUs", single=False, parked=True),
    Act("e", "end", "SIGINT, then SIGTERM, then SIGKILL", single=False),
    Act("i", "interrupt", "SIGINT, as Ctrl-C does", single=False),
    Act("t", "terminate", "SIGTERM", single=False),
    Act("k", "kill", "SIGKILL: it cannot clean up", single=False),
)
_SIGNALS = {"e": None, "i": "INT", "t": "TERM", "k": "KILL"}


class ActsScreen(ModalScreen[str | None]):
    """Closes with the key of the chosen act, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f9", "dismiss(None)", "Back"),
        *(Binding(act.key, f"choose('{act.key}')", act.name, show=False) for act in ACTS),
    ]

    def __init__(self, rows: Sequence[GpuProcess]) -> None:
        super().__init__()
        self._rows = tuple(rows)

    def compose(self) -> ComposeResult:
        """The acts that apply to so many processes."""
        options = [
            Option(f" {act.key}  {act.name:<12} {act.words}", id=act.key)
            for act in ACTS
            if act.fits(self._rows)
        ]
        box = Choices(*options, dom_id="acts")
        first = self._rows[0]
        named = f"{first.pid} {command_line(first)}"
        title = named if len(self._rows) == 1 else f"{len(self._rows)} processes"
        # A bracket would begin markup there.
        set_, room = glyphs_of(self), self.app.size.width * 96 // 100 - _BORDER
        shown = fitted(set_.text(title), max(1, min(_WIDEST_TITLE, room)), set_).rstrip()
        box.border_title = shown.replace("[", "(")
        box.border_subtitle = "Esc goes back"
        yield box
        yield KeyBar()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click chooses."""
        self.dismiss(str(event.option.id))

    def action_choose(self, key: str) -> None:
        """A letter chooses at once."""
        act = next(act for act in ACTS if act.key == key)
        if act.fits(self._rows):
            self.dismiss(key)


def open_acts(screen: LiveScreen, rows: Sequence[GpuProcess]) -> None:
    """Ask what to do to these processes, and go on with it."""
    if rows:
        chosen: Callable[[str | None], None] = lambda key: perform(screen, rows, key)  # noqa: E731
        screen.app.push_screen(ActsScreen(rows), chosen)


def perform(screen: LiveScreen, rows: Sequence[GpuProcess], key: str | None) -> None:
    """Do what the key stands for: explained at once, all else asked about first."""
    doctor = screen.doctor
    if key is None or not rows:
        return
    if key == "x":
        row = rows[0]
        words = (
            parked_lines(row)
            if is_parked(row)
            else tuple(explanation(row, doctor.judged(row), settled=doctor.settled(row)))
        )
        screen.app.push_screen(Sheet("Explain", words))
    elif (why := _refused(doctor)) is not None:
        screen.app.notify(why, severity="warning", markup=False)
    elif key == "r":
        from gpudoctor.tui.screens.watch import WatchScreen

        screen.app.push_screen(WatchScreen(row=rows[0]))
    else:
        screen.app.push_screen(DeedScreen(_deed(doctor, rows, key)))


def _refused(doctor: Doctor) -> str | None:
    if doctor.read_only:
        return "Nothing is done: this screen is read-only."
    if doctor.snapshot is None or doctor.snapshot.source == "nvml":
        return None
    what = "simulated" if doctor.snapshot.simulated else "a recording"
    return f"Nothing is done: this machine is {what}."


def _deed(doctor: Doctor, rows: Sequence[GpuProcess], key: str) -> Deed:
    if key == "s":
        return Stacks(rows[0])
    if key == "c":
        return EmptyCache(rows[0], doctor.newest, doctor.see)
    if key in "pu":
        from gpudoctor.tui.parking import Park, Unpark

        return (Park if key == "p" else Unpark)(rows, doctor.newest, doctor.see)
    return cast(Deed, End(rows, _SIGNALS[key], doctor.newest, doctor.see))

"""A form above a list of earlier runs: what the screens for profiles and benches have in common."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import NOTHING, Cell, Level, Row, cell
from gpudoctor.present.columns import Column
from gpudoctor.present.host import title_cells
from gpudoctor.tui.errands import Errands, HasErrands
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.sessions import Kept
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

COLUMNS = (
    Column("at", "WHEN", 12),
    Column("what", "WHAT", 14, grow=1, most=40),
    Column("took", "TOOK", 7, rank=1, right=True),
    Column("verdict", "VERDICT", 20, grow=4, claim=5),
)


class FormScreen(LiveScreen):
    """Subclasses name the fields, start the command, and list what earlier runs left."""

    FIELDS: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    NOTHING_YET = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", key_display="Esc"),
        Binding("tab,down", "app.focus_next", "Next field", key_display="Tab"),
        Binding("up", "app.focus_previous", "Field before", show=False),
        Binding("f2", "browse", "Choose a file", key_display="F2"),
        Binding("f5", "run", "Run", key_display="F5"),
        Binding("o", "page", "HTML page"),
        Binding("D,delete", "delete", "Delete", key_display="D", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[Kept, ...] = ()
        self._tagged: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Title, fields, what there is to say, earlier runs."""
        yield Lines(spread=True, dom_id="title")
        with Vertical(id="form"):
            for name, label, hint in self.FIELDS:
                with Horizontal(classes="variable"):
                    yield Label(f"{label:<21}")
                    yield Input(placeholder=hint, id=name, compact=True)
        yield Lines(dom_id="standing")
        yield Grid(COLUMNS, empty=self.NOTHING_YET, dom_id="kept-runs")
        yield KeyBar()

    def on_mount(self) -> None:
        """Look for earlier runs."""
        super().on_mount()
        for box in self.query(Input):
            box.cursor_blink = False
        self.say(self.about())

    def on_screen_resume(self) -> None:
        """There may be a new one."""
        super().on_screen_resume()
        apart(self.app, self.look, self._known)

    def on_run_ended(self) -> None:
        """One that was left running has ended."""
        apart(self.app, self.look, self._known)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """The title alone is about the machine."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))

    def look(self) -> tuple[Kept, ...]:
        """The earlier runs. Called in the background."""
        return ()

    def about(self) -> str:
        """What is said before anything was done."""
        return ""

    @property
    def errands(self) -> Errands:
        """What the application has under way."""
        return cast(HasErrands, self.app).errands

    def value(self, name: str) -> str:
        """What stands in a field."""
        return self.query_one(f"#{name}", Input).value.strip()

    def words(self, name: str) -> list[str]:
        """What stands in a field, split as a shell does.

        Raises:
            GpuDoctorError: a quote is not closed.
        """
        try:
            return shlex.split(self.value(name))
        except ValueError as error:
            raise GpuDoctorError(f"{name} cannot be split into words", cause=str(error)) from error

    def say(self, text: str, level: Level = Level.DIM) -> None:
        """What stands between the form and the list."""
        lines = [(Cell(units.printable(words), level),) for words in text.splitlines()]
        self.query_one("#standing", Lines).show(lines)

    def _known(self, came: tuple[Kept, ...] | GpuDoctorError) -> None:
        if not self.is_attached or isinstance(came, GpuDoctorError):
            return
        self._kept = came
        self.list_runs()

    def list_runs(self) -> None:
        """Show the rows."""
        self.query_one("#kept-runs", Grid).show([self._row(one) for one in self._kept])

    def _row(self, one: Kept) -> Row:
        key = str(one.folder)
        at = _moment(one.started_at)
        mark = "*" if key in self._tagged else " "
        took = NOTHING if one.seconds is None else cell(units.duration(one.seconds))
        name = " ".join([Path(one.program[0]).name, *one.program[1:]]) if one.program else "?"
        return Row(
            key,
            (
                Cell(f"{mark}{at}", Level.NOTICE if mark == "*" else Level.PLAIN),
                Cell(units.printable(name)),
                took,
                Cell(units.printable(one.verdict), one.level),
            ),
        )

    def action_delete(self) -> None:
        """Delete the tagged runs, or the one under the cursor, after a question."""
        from gpudoctor.tui.removal import Remove
        from gpudoctor.tui.screens.deed import DeedScreen

        one = self.chosen()
        going = self.tagged() or ([one] if one is not None else [])
        if going:
            self.app.push_screen(DeedScreen(Remove(going, self.place())))

    def place(self) -> Path:
        """Where the earlier runs are kept."""
        raise TypeError(f"{type(self).__name__} keeps nothing")

    def chosen(self) -> Kept | None:
        """The run under the cursor."""
        key = self.query_one("#kept-runs", Grid).selected
        return next((one for one in self._kept if str(one.folder) == key), None)

    def tag(self) -> None:
        """Tag the run under the cursor, or untag it; the last two stay tagged."""
        one = self.chosen()
        if one is None:
            return
        key = str(one.folder)
        others = tuple(known for known in self._tagged if known != key)
        self._tagged = others if key in self._tagged else (*others, key)[-2:]
        self.query_one("#kept-runs", Grid).action_cursor(1)
        self.list_runs()

    def tagged(self) -> list[Kept]:
        """The tagged runs, the oldest first."""
        found = [one for one in self._kept if str(one.folder) in self._tagged]
        return sorted(found, key=lambda one: one.started_at)

    def on_input_submitted(self) -> None:
        """Enter in a field begins."""
        self.action_run()

    def action_run(self) -> None:
        """Begin, and say why where that cannot be."""
        try:
            self.begin()
        except GpuDoctorError as error:
            self.say(": ".join(filter(None, (error.message, error.cause))), Level.WARN)

    def begin(self) -> None:
        """Start the command.

        Raises:
            GpuDoctorError: what is typed cannot be run.
        """
        raise TypeError(f"{type(self).__name__} starts nothing")

    def action_browse(self) -> None:
        """Choose the script from the folders."""
        from gpudoctor.tui.screens.files import FileScreen

        named = Path(self.value("script") or ".").expanduser()
        start = named if named.is_dir() else named.parent
        self.app.push_screen(FileScreen(start if start.is_dir() else Path()), self._picked)

    def _picked(self, path: Path | None) -> None:
        if path is not None:
            here = Path.cwd()
            shown = path.absolute()
            box = self.query_one("#script", Input)
            box.value = str(shown.relative_to(here) if shown.is_relative_to(here) else shown)
            box.focus()

    def script(self) -> str:
        """The script that is named.

        Raises:
            GpuDoctorError: none is, or there is no such file.
        """
        named = self.value("script")
        if not named:
            raise GpuDoctorError("name a script, or press F2 to choose one")
        path = Path(named).expanduser()
        if not path.exists():
            raise GpuDoctorError(f"there is no script {named}", cause=f"seen from {Path.cwd()}")
        return str(path)


def names(kept: Iterable[Kept]) -> list[str]:
    """The folders, as a command takes them."""
    return [str(one.folder) for one in kept]


def _moment(at: float) -> str:
    try:
        return time.strftime("%m-%d %H:%M", time.localtime(at))
    except (ValueError, OverflowError, OSError):  # no time that a clock could have shown
        return units.UNKNOWN

"""All remarks, and all that happened: what the driver told since the start, and what a daemon recorded."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.values import History
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level, Row
from gpudoctor.present.columns import Column
from gpudoctor.present.happenings import (
    COLUMNS,
    Happening,
    happening_row,
    happenings,
    next_kind,
    summary,
)
from gpudoctor.present.host import title_cells
from gpudoctor.present.remarks import remarks
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

REMARK_COLUMNS = (Column("gpu", "GPU", 3, right=True), Column("text", "NOW", 40, grow=1))
_DAYS = 7
_NOTHING = "The driver has told of no event since the start."
_NONE_RECORDED = f"Nothing happened in the last {_DAYS} days."


class EventsScreen(LiveScreen):
    """What is to be remarked now above, what happened below, the newest first."""

    AUTO_FOCUS = "#events"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace,e", "app.pop_screen", "Back", key_display="Esc"),
        Binding("tab", "app.focus_next", "Other table", key_display="Tab"),
        Binding("f", "kind", "Next kind"),
        Binding("r,f5", "read", "Read the recordings again", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._uuids: dict[str, str | None] = {}
        self._recorded: History | None = None
        self._kind: str | None = None
        self._why_not = ""
        self._known: tuple[Happening, ...] = ()

    def compose(self) -> ComposeResult:
        """Two tables, and between them what is in the lower one."""
        yield Lines(spread=True, dom_id="title")
        yield Grid(REMARK_COLUMNS, empty="Nothing to remark.", dom_id="now")
        yield Lines(dom_id="kinds")
        yield Grid(COLUMNS, empty=_NOTHING, dom_id="events")
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask for what was recorded."""
        self.action_read()

    def action_read(self) -> None:
        """Ask the daemon, or its file, for the last days."""
        past, snapshot = self.doctor.past, self.doctor.snapshot
        if past is not None and snapshot is not None:
            until = snapshot.taken_at
            apart(self.app, lambda: past.read(until - _DAYS * 86_400.0, until), self._arrived)

    def _arrived(self, came: History | GpuDoctorError | None) -> None:
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            self._why_not = f"The recordings cannot be read: {came.message}."
        else:
            self._recorded, self._why_not = came, ""
            self.query_one("#events", Grid).say_when_empty(_NONE_RECORDED if came else _NOTHING)
        self.catch_up()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Fill both tables."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))
        found = remarks(snapshot, self.doctor.verdicts, self.doctor.checked)
        self._known = happenings(snapshot, self._recorded)
        chosen = [one for one in self._known if self._kind in (None, one.kind)]
        self._uuids = {remark.text: remark.uuid for remark in found}
        self._uuids |= {one.key: one.uuid for one in chosen}
        self.query_one("#now", Grid).show(
            [
                Row(remark.text, (_gpu(remark.uuid, snapshot), Cell(remark.text, remark.level)))
                for remark in found
            ]
        )
        self.query_one("#kinds", Lines).show((self._standing(),))
        self.query_one("#events", Grid).show(
            [happening_row(one, snapshot.taken_at) for one in chosen]
        )

    def _standing(self) -> tuple[Cell, ...]:
        if self._why_not:
            return (Cell(self._why_not, Level.WARN),)
        since = f"the last {_DAYS} days" if self._recorded else "since the start"
        return (Cell(f"{since}:"), *summary(self._known, self._kind))

    def action_kind(self) -> None:
        """Show only one kind of what happened, then the next, then all."""
        self._kind = next_kind(self._known, self._kind)
        self.catch_up()

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Open the details of the GPU that it is about."""
        uuid = self._uuids.get(event.key)
        if not uuid:
            self.app.notify("No GPU is named there.")
            return
        from gpudoctor.tui.screens.device import DeviceScreen

        self.app.push_screen(DeviceScreen(uuid))


def _gpu(uuid: str | None, snapshot: Snapshot) -> Cell:
    device = snapshot.device(uuid) if uuid else None
    return Cell(str(device.index) if device else units.UNKNOWN)

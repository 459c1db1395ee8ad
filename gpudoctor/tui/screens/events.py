"""All remarks, and all events since the start."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from gpudoctor import units
from gpudoctor.model.snapshot import GpuEvent, Snapshot
from gpudoctor.model.xids import XIDS, advice
from gpudoctor.present.cells import Cell, Level, Row
from gpudoctor.present.columns import Column
from gpudoctor.present.host import title_cells
from gpudoctor.present.remarks import remarks
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

REMARK_COLUMNS = (Column("gpu", "GPU", 3, right=True), Column("text", "NOW", 40, grow=1))
EVENT_COLUMNS = (
    Column("time", "TIME", 8),
    Column("gpu", "GPU", 3, right=True),
    Column("kind", "EVENT", 8),
    Column("meaning", "NVIDIA'S CATALOGUE SAYS", 26, grow=3),
    Column("action", "WHAT TO DO AT ONCE", 20, grow=2),
)


class EventsScreen(LiveScreen):
    """What is to be remarked now above, what the driver told below, the newest first."""

    AUTO_FOCUS = "#events"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace,e", "app.pop_screen", "Back", key_display="Esc"),
        Binding("tab", "app.focus_next", "Other table", key_display="Tab"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._uuids: dict[str, str | None] = {}

    def compose(self) -> ComposeResult:
        """Two tables."""
        yield Lines(spread=True, dom_id="title")
        yield Grid(REMARK_COLUMNS, empty="Nothing to remark.", dom_id="now")
        yield Grid(
            EVENT_COLUMNS, empty="The driver has told of no event since the start.", dom_id="events"
        )
        yield KeyBar()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Fill both tables."""
        self.query_one(Lines).show((title_cells(snapshot, self.doctor.paused),))
        found = remarks(snapshot, self.doctor.verdicts)
        told = [(event, _row(event, snapshot)) for event in reversed(snapshot.events)]
        self._uuids = {remark.text: remark.uuid for remark in found}
        self._uuids |= {row.key: event.uuid for event, row in told}
        self.query_one("#now", Grid).show(
            [
                Row(remark.text, (_gpu(remark.uuid, snapshot), Cell(remark.text, remark.level)))
                for remark in found
            ]
        )
        self.query_one("#events", Grid).show([row for _, row in told])

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Open the details of the GPU that it is about."""
        uuid = self._uuids.get(event.key)
        if not uuid:
            self.app.notify("No GPU is named there.")
            return
        from gpudoctor.tui.screens.device import DeviceScreen

        self.app.push_screen(DeviceScreen(uuid))


def _row(event: GpuEvent, snapshot: Snapshot) -> Row:
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    known = XIDS.get(event.code) if event.kind == "xid" else None
    meaning = known.meaning if known else units.text(units.printable(event.text))
    action = (advice(event.code) or units.UNKNOWN) if known else units.UNKNOWN
    cells = (
        Cell(at),
        _gpu(event.uuid, snapshot),
        Cell(
            f"Xid {event.code}" if event.kind == "xid" else f"{event.kind} {event.code}", Level.BAD
        ),
        Cell(meaning),
        Cell(action, Level.DIM if action == units.UNKNOWN else Level.PLAIN),
    )
    return Row(f"{event.at}{event.uuid}{event.kind}{event.code}", cells)


def _gpu(uuid: str | None, snapshot: Snapshot) -> Cell:
    device = snapshot.device(uuid) if uuid else None
    return Cell(str(device.index) if device else units.UNKNOWN)

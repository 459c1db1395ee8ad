"""The first screen: GPUs, what is wrong, graphs, processes."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from gpudoctor import units
from gpudoctor.model.snapshot import DeviceState, Snapshot
from gpudoctor.present import devices
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.host import host_cells, title_cells
from gpudoctor.present.remarks import Remark, remarks
from gpudoctor.tui.history import WINDOWS, Window
from gpudoctor.tui.look import PARTS
from gpudoctor.tui.screens.table import ProcessTable
from gpudoctor.tui.widgets.graphs import Graphs, Series, tile
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

_TALL = 30
_LEAST_PROCESS_ROWS = 8
# The header and two processes stay even where sixteen GPUs fill a terminal of 24 lines.
_LAST_LINES = 3


class OverviewScreen(ProcessTable):
    """GPUs above, processes below; what lies between depends on the height that there is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "window", "Window"),
        Binding("1", "hide('host')", "Hide or show the host", show=False),
        Binding("2", "hide('remarks')", "Hide or show the remarks", show=False),
        Binding("3", "hide('graphs')", "Hide or show the graphs", show=False),
        Binding("tab", "app.focus_next", "Other table", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._listed = 0

    def compose(self) -> ComposeResult:
        """The parts, top to bottom."""
        yield Lines(spread=True, dom_id="title")
        yield Lines(dom_id="host")
        yield Grid(devices.COLUMNS, empty="No GPU.", dom_id="devices")
        yield Lines(dom_id="remarks")
        yield Graphs(dom_id="graphs")
        yield self.process_table()
        yield from self.filter_bar()
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what there is before the first answer."""
        self._hide()
        self.query_one("#title", Lines).show((title_cells(None),))

    @property
    def _window(self) -> Window:
        return next(one for one in WINDOWS if one.name == self.doctor.look.window)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Hand each part what it shows."""
        self.query_one("#title", Lines).show(
            (title_cells(snapshot, self.doctor.paused, self.doctor.note),)
        )
        self.query_one("#host", Lines).show((host_cells(snapshot, self.size.width - 2),))
        rows = devices.device_rows(snapshot)
        self._listed = len(snapshot.processes)
        self.query_one("#devices", Grid).show(rows)
        self._show_remarks(remarks(snapshot, self.doctor.verdicts, self.doctor.checked))
        self._arrange(len(rows), len(snapshot.devices))
        self.show_processes(snapshot)
        self._show_graphs(snapshot)

    def _show_remarks(self, found: tuple[Remark, ...]) -> None:
        most = 1 if self.size.height < _TALL else 3
        lines: list[tuple[Cell, ...]] = [
            (
                Cell("!" if remark.level is Level.BAD else "·", remark.level),
                Cell(remark.text, remark.level),
            )
            for remark in found[:most]
        ]
        if len(found) > most:
            last = lines[-1]
            lines[-1] = (*last, Cell(f"+{len(found) - most} more (e)", Level.DIM))
        self.query_one("#remarks", Lines).show(lines or [(Cell("· nothing to remark", Level.DIM),)])

    def _arrange(self, device_rows: int, count: int) -> None:
        """Graphs get what is left when the GPUs and enough processes are shown."""
        height, width = self.size.height, self.size.width
        hidden = self.doctor.look.hidden
        remarked = 0 if "remarks" in hidden else 1 if height < _TALL else 3
        fixed = 1 + ("host" not in hidden) + (device_rows + 1) + remarked + 1
        # In steps, so that the graphs do not jump whenever a process comes or goes.
        wanted = -(-max(1, self._listed) // _LEAST_PROCESS_ROWS) * _LEAST_PROCESS_ROWS
        spare = height - fixed - 1 - min(wanted, max(_LEAST_PROCESS_ROWS, height // 3))
        room = 0 if "graphs" in hidden else spare
        tiling = tile(count, width - 2, room)
        graphs = self.query_one("#graphs", Graphs)
        graphs.display = tiling is not None
        if tiling is not None:
            graphs.styles.height = tiling.height * tiling.down
        self.query_one("#devices").styles.max_height = max(2, height - 4 - _LAST_LINES)

    def _show_graphs(self, snapshot: Snapshot) -> None:
        graphs, history = self.query_one("#graphs", Graphs), self.doctor.history
        if not graphs.display:
            return
        wanted = graphs.points or self.size.width // 2
        window, now = self._window, snapshot.taken_at
        series = []
        for device in snapshot.devices:
            busy, held = history.utilization.get(device.uuid), history.memory.get(device.uuid)
            load = units.percent(device.utilization.gpu_ratio)
            used = units.gibibytes(device.memory.used_bytes, 0)
            title = f"GPU {device.index} {load:>4}  {used} GiB"
            series.append(
                Series(
                    title,
                    window.name,
                    tuple(busy.columns(window.seconds, wanted, now)) if busy else (),
                    tuple(held.columns(window.seconds, wanted, now)) if held else (),
                    device.state is not DeviceState.OK,
                )
            )
        graphs.show(series)

    def on_resize(self, event: events.Resize) -> None:
        """Arrange anew at once, not at the next look."""
        if self.ready:
            self.call_after_refresh(self.catch_up)

    def action_window(self) -> None:
        """Show a longer time in the graphs, then the shortest again."""
        if self._tell_of_no_graphs():
            return
        following = WINDOWS[(WINDOWS.index(self._window) + 1) % len(WINDOWS)]
        self._keep(window=following.name)
        self.catch_up()

    def action_hide(self, part: str) -> None:
        """Hide a part of the screen, or show it again; what it leaves goes to the others."""
        hidden = set(self.doctor.look.hidden) ^ {part}
        self._keep(hidden=tuple(one for one in PARTS if one in hidden))
        self._hide()
        self.catch_up()
        if part == "graphs" and part not in hidden:
            self._tell_of_no_graphs()

    def _tell_of_no_graphs(self) -> bool:
        if self.query_one("#graphs").display:
            return False
        hidden = "graphs" in self.doctor.look.hidden
        why = "The graphs are hidden: 3 shows them." if hidden else "There is no room for graphs."
        self.app.notify(why)
        return True

    def _hide(self) -> None:
        for part in ("host", "remarks"):
            self.query_one(f"#{part}").display = part not in self.doctor.look.hidden

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Open the details of a GPU or a process."""
        if event.grid.id == "processes":
            self.open_process(event.key)
        else:
            from gpudoctor.tui.screens.device import DeviceScreen

            self.app.push_screen(DeviceScreen(event.key))

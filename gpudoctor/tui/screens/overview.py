"""The first screen: GPUs, what is wrong, graphs, processes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from gpudoctor import units
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import DeviceState, Snapshot
from gpudoctor.present import devices, processes
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.host import host_cells, title_cells
from gpudoctor.present.processes import Order
from gpudoctor.present.remarks import Remark, remarks
from gpudoctor.present.verdicts import verdict_of
from gpudoctor.tui.copying import copy
from gpudoctor.tui.history import WINDOWS, Window
from gpudoctor.tui.look import PARTS
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.filter import FilterInput
from gpudoctor.tui.widgets.graphs import Graphs, Series, tile
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines

_TALL = 30
_LEAST_PROCESS_ROWS = 8
# The header and two processes stay even where sixteen GPUs fill a terminal of 24 lines.
_LAST_LINES = 3
_NO_PROCESS = "No process uses a GPU."
_NO_MATCH = "No process matches the filter."


class OverviewScreen(LiveScreen):
    """GPUs above, processes below; what lies between depends on the height that there is."""

    AUTO_FOCUS = "#processes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash,f4", "filter", "Filter", key_display="/"),
        Binding("f6,greater_than_sign,s", "sort", "Sort", key_display="F6"),
        Binding("I", "invert", "Invert order", show=False),
        Binding("M", "sort_by('memory')", "Sort by GPU memory", show=False),
        Binding("P", "sort_by('cpu')", "Sort by CPU", show=False),
        Binding("N", "sort_by('pid')", "Sort by pid", show=False),
        Binding("T", "sort_by('age')", "Sort by age", show=False),
        Binding("k,f9", "act", "Act", key_display="k"),
        Binding("x", "explain", "Explain", show=False),
        Binding("space", "tag", "Tag, to act on several", show=False),
        Binding("U", "untag", "Untag all", show=False),
        Binding("c", "copy", "Copy the pid, or the GPU's UUID", show=False),
        Binding("C", "copy_command", "Copy the command line", show=False),
        Binding("w", "window", "Window"),
        Binding("1", "hide('host')", "Hide or show the host", show=False),
        Binding("2", "hide('remarks')", "Hide or show the remarks", show=False),
        Binding("3", "hide('graphs')", "Hide or show the graphs", show=False),
        Binding("escape", "clear", "Clear the filter", show=False),
        Binding("tab", "app.focus_next", "Other table", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._query = ""
        self._tagged: frozenset[str] = frozenset()
        self._listed = 0

    def compose(self) -> ComposeResult:
        """The parts, top to bottom."""
        yield Lines(spread=True, dom_id="title")
        yield Lines(dom_id="host")
        yield Grid(devices.COLUMNS, empty="No GPU.", dom_id="devices")
        yield Lines(dom_id="remarks")
        yield Graphs(dom_id="graphs")
        yield Grid(processes.COLUMNS, empty=_NO_PROCESS, dom_id="processes")
        with Horizontal(id="filter-bar"):
            yield Label("filter ")
            yield FilterInput(
                placeholder="words, gpu:3, user:ana, pid:123", id="filter", compact=True
            )
            yield Label(id="found")
        yield KeyBar()

    def on_mount(self) -> None:
        """Give the keys to the processes."""
        self.query_one("#filter-bar").display = False
        self.query_one("#filter", Input).cursor_blink = False
        self._table.mark_sorted(self._order.key, self._order.down)
        self._hide()
        self.query_one("#title", Lines).show((title_cells(None),))

    @property
    def _order(self) -> Order:
        return Order(self.doctor.look.sort, self.doctor.look.down)

    @property
    def _window(self) -> Window:
        return next(one for one in WINDOWS if one.name == self.doctor.look.window)

    @property
    def _table(self) -> Grid:
        return self.query_one("#processes", Grid)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Hand each part what it shows."""
        self.query_one("#title", Lines).show(
            (title_cells(snapshot, self.doctor.paused, self.doctor.note),)
        )
        self.query_one("#host", Lines).show((host_cells(snapshot),))
        rows = devices.device_rows(snapshot)
        self._listed = len(snapshot.processes)
        self.query_one("#devices", Grid).show(rows)
        self._show_remarks(remarks(snapshot, self.doctor.verdicts))
        self._arrange(len(rows), len(snapshot.devices))
        self._show_processes(snapshot)
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
        room = 0 if "graphs" in hidden else min(spare, height // 2)
        tiling = tile(count, width - 2, room)
        graphs = self.query_one("#graphs", Graphs)
        graphs.display = tiling is not None
        if tiling is not None:
            graphs.styles.height = tiling.height * tiling.down
        self.query_one("#devices").styles.max_height = max(2, height - 4 - _LAST_LINES)

    def _show_processes(self, snapshot: Snapshot) -> None:
        chosen = processes.matching(snapshot.processes, self._query)
        verdicts = self.doctor.verdicts
        rows = [
            processes.process_row(
                process,
                snapshot.taken_at,
                verdict_of(process, verdicts),
                settled=self.doctor.settled(process),
            )
            for process in processes.ordered(chosen, self._order)
        ]
        marked = self._tagged
        if marked:
            rows = [processes.tagged(row) if row.key in marked else row for row in rows]
        self._table.say_when_empty(_NO_MATCH if snapshot.processes else _NO_PROCESS)
        self._table.show(rows)
        self.query_one("#found", Label).update(f" {len(rows)} of {len(snapshot.processes)}")

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

    def action_filter(self) -> None:
        """Type words that a process must have."""
        box = self.query_one("#filter", Input)
        self.query_one("#filter-bar").display = True
        # At once, not at the next turn of the loop: what is typed ahead belongs to the filter.
        self.set_focus(box)

    def action_clear(self) -> None:
        """Leave the filter and forget it."""
        box = self.query_one("#filter", Input)
        box.value = ""
        self.query_one("#filter-bar").display = False
        self._table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        self._query = event.value
        self.catch_up()

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the rows."""
        box = self.query_one("#filter", Input)
        self.query_one("#filter-bar").display = bool(box.value)
        self._table.focus()

    def action_sort(self) -> None:
        """Choose the column to sort by."""
        from gpudoctor.tui.screens.sort import SortScreen

        order = self._order
        choice = SortScreen(processes.COLUMNS, processes.SORT_KEYS, order.key, down=order.down)
        self.app.push_screen(choice, self.action_sort_by)

    def action_sort_by(self, key: str | None) -> None:
        """Sort by this column, if one was chosen; a second time turns the order round."""
        if key is None:
            return
        order = (
            Order(key, not self._order.down) if key == self._order.key else processes.natural(key)
        )
        self._sorted(order)

    def action_invert(self) -> None:
        """Turn the order round."""
        self._sorted(Order(self._order.key, not self._order.down))

    def _sorted(self, order: Order) -> None:
        self._keep(sort=order.key, down=order.down)
        self._table.mark_sorted(order.key, order.down)
        self.catch_up()

    def action_act(self) -> None:
        """Choose what to do to the tagged processes, or to the one under the cursor."""
        from gpudoctor.tui.screens.acts import open_acts

        open_acts(self, self._rows_of(self._tagged) or self._chosen())

    def action_explain(self) -> None:
        """Why the process under the cursor is, or is not, left over."""
        from gpudoctor.tui.screens.acts import perform

        perform(self, self._chosen(), "x")

    def _chosen(self) -> list[GpuProcess]:
        return self._rows_of({self._table.selected})

    def _rows_of(self, keys: Collection[str | None]) -> list[GpuProcess]:
        rows = self.doctor.snapshot.processes if self.doctor.snapshot else ()
        return [row for row in rows if processes.row_key(row) in keys]

    def action_copy(self) -> None:
        """Copy the pid of the process, or the UUID of the GPU, under the cursor."""
        if isinstance(self.focused, Grid) and self.focused.selected is not None:
            # A process's key is its pid and when it was started.
            copy(self.app, self.focused.selected.partition("@")[0])

    def action_copy_command(self) -> None:
        """Copy the command line of the process under the cursor, as a shell takes it."""
        for row in self._chosen():
            copy(self.app, processes.shell_line(row))

    def action_tag(self) -> None:
        """Tag the process under the cursor, or untag it, and go on to the next."""
        if self._table.selected is not None:
            self._tagged ^= {self._table.selected}
            self._table.action_cursor(1)
            self.catch_up()

    def action_untag(self) -> None:
        """Forget the tags."""
        self._tagged = frozenset()
        self.catch_up()

    def action_window(self) -> None:
        """Show a longer time in the graphs, then the shortest again."""
        following = WINDOWS[(WINDOWS.index(self._window) + 1) % len(WINDOWS)]
        self._keep(window=following.name)
        self.catch_up()

    def action_hide(self, part: str) -> None:
        """Hide a part of the screen, or show it again; what it leaves goes to the others."""
        hidden = set(self.doctor.look.hidden) ^ {part}
        self._keep(hidden=tuple(one for one in PARTS if one in hidden))
        self._hide()
        self.catch_up()

    def _hide(self) -> None:
        for part in ("host", "remarks"):
            self.query_one(f"#{part}").display = part not in self.doctor.look.hidden

    def _keep(self, **changes: Any) -> None:
        self.doctor.look = replace(self.doctor.look, **changes)

    def on_grid_header_clicked(self, event: Grid.HeaderClicked) -> None:
        """Sort by the title that was clicked."""
        if event.grid.id == "processes" and event.column in processes.SORT_KEYS:
            self.action_sort_by(event.column)

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Open the details of a GPU or a process."""
        if event.grid.id == "processes":
            from gpudoctor.tui.screens.process import ProcessScreen

            self.app.push_screen(ProcessScreen(event.key))
        else:
            from gpudoctor.tui.screens.device import DeviceScreen

            self.app.push_screen(DeviceScreen(event.key))

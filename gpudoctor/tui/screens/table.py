"""The table of processes on a screen: order, columns, filter, tags, the tree, and what is done to a row."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present import processes
from gpudoctor.present.cells import Row
from gpudoctor.present.family import Line, family_lines, family_row
from gpudoctor.present.processes import Order
from gpudoctor.present.verdicts import verdict_of
from gpudoctor.tui.copying import copy
from gpudoctor.tui.families import FamilyBook
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.filter import FilterInput
from gpudoctor.tui.widgets.grid import Grid

_NO_PROCESS = "No process uses a GPU."
_NO_MATCH = "No process matches the filter."


class ProcessTable(LiveScreen):
    """Subclasses compose the other parts and call `show_processes`."""

    AUTO_FOCUS = "#processes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash,f4", "filter", "Filter", key_display="/"),
        Binding("f6,greater_than_sign,s", "sort", "Sort", key_display="F6"),
        Binding("t,f5", "tree", "Tree", key_display="t"),
        Binding("left,minus", "fold", "Fold, or go to the parent", show=False),
        Binding("right,plus", "unfold", "Unfold", show=False),
        Binding("f2", "columns", "Choose columns", show=False),
        Binding("I", "invert", "Invert order", show=False),
        Binding("M", "sort_by('memory')", "Sort by GPU memory", show=False),
        Binding("P", "sort_by('cpu')", "Sort by CPU", show=False),
        Binding("N", "sort_by('pid')", "Sort by pid", show=False),
        Binding("T", "sort_by('age')", "Sort by age", show=False),
        Binding("k,f9", "act", "Act", key_display="k"),
        Binding("x", "explain", "Explain", show=False),
        Binding("space", "tag", "Tag, to act on several", show=False),
        Binding("a", "tag_family", "Tag with all below it", show=False),
        Binding("U", "untag", "Untag all", show=False),
        Binding("c", "copy", "Copy the pid, or the GPU's UUID", show=False),
        Binding("C", "copy_command", "Copy the command line", show=False),
        Binding("escape", "clear", "Clear the filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._query = ""
        self._tagged: frozenset[str] = frozenset()
        self._folded: frozenset[str] = frozenset()
        self._lines: dict[str, Line] = {}
        self._families = FamilyBook(self._family_came)

    def process_table(self) -> Grid:
        """The table, empty."""
        return Grid(processes.COLUMNS, empty=_NO_PROCESS, dom_id="processes")

    def filter_bar(self) -> ComposeResult:
        """The line in which the filter is typed."""
        with Horizontal(id="filter-bar"):
            yield Label("filter ")
            yield FilterInput(
                placeholder="words, gpu:3, user:ana, pid:123", id="filter", compact=True
            )
            yield Label(id="found")

    def on_mount(self) -> None:
        """Sort as the screen was left."""
        self.query_one("#filter-bar").display = False
        self.query_one("#filter", Input).cursor_blink = False
        self._table.mark_sorted(self._order.key, self._order.down)
        self._table.leave_out(self.doctor.look.columns_hidden)

    @property
    def _order(self) -> Order:
        return Order(self.doctor.look.sort, self.doctor.look.down)

    @property
    def _table(self) -> Grid:
        return self.query_one("#processes", Grid)

    def show_processes(self, snapshot: Snapshot) -> None:
        """Fill the table."""
        chosen = processes.matching(snapshot.processes, self._query)
        chosen = processes.ordered(chosen, self._order, self.doctor.verdicts)
        rows = self._rows_as_tree(chosen, snapshot) if self.doctor.look.tree else None
        if rows is None:
            self._lines = {}
            rows = [self._row(process, snapshot) for process in chosen]
        self._table.say_when_empty(_NO_MATCH if snapshot.processes else _NO_PROCESS)
        self._table.show(rows)
        self.query_one("#found", Label).update(f" {len(chosen)} of {len(snapshot.processes)}")

    def _row(self, process: GpuProcess, snapshot: Snapshot) -> Row:
        row = processes.process_row(
            process,
            snapshot.taken_at,
            verdict_of(process, self.doctor.verdicts),
            settled=self.doctor.settled(process),
        )
        return processes.tagged(row) if row.key in self._tagged else row

    def _rows_as_tree(self, chosen: Sequence[GpuProcess], snapshot: Snapshot) -> list[Row]:
        known = {processes.row_key(one): one for one in chosen}
        families = self._families.of(self.app, snapshot)
        lines = family_lines(chosen, families, self._folded)
        self._lines = {line.key: line for line in lines}
        return [
            family_row(
                line,
                self._row(line.process, snapshot) if line.process else None,
                [known[key] for key in line.members],
            )
            for line in lines
        ]

    def _family_came(self) -> None:
        if self.is_attached and self.ready:
            self.catch_up()

    def action_tree(self) -> None:
        """Show each process below what launched it, or all of them in order again."""
        self._keep(tree=not self.doctor.look.tree)
        self.catch_up()

    def action_fold(self) -> None:
        """Hide what is below the row; on a row without anything below go to its parent."""
        line = self._line
        if line is None:
            return
        if line.folds and not line.folded:
            self._fold(line.key)
        elif line.parent is not None:
            self._table.select(line.parent)

    def action_unfold(self) -> None:
        """Show what is below the row."""
        if self._line is not None and self._line.folded:
            self._fold(self._line.key)

    def _fold(self, key: str) -> None:
        self._folded ^= {key}
        self.catch_up()

    @property
    def _line(self) -> Line | None:
        return self._lines.get(self._table.selected or "")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The filter that is being typed is not opened again."""
        return action != "filter" or not isinstance(self.focused, FilterInput)

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

    def action_columns(self) -> None:
        """Choose which columns are shown."""
        from gpudoctor.tui.screens.columns import ColumnsScreen

        hidden = self.doctor.look.columns_hidden
        self.app.push_screen(
            ColumnsScreen(processes.COLUMNS, processes.OPTIONAL, hidden, self._leave)
        )

    def _leave(self, hidden: tuple[str, ...]) -> None:
        self._keep(columns_hidden=hidden)
        self._table.leave_out(hidden)

    def action_act(self) -> None:
        """Choose what to do to the tagged processes, or to the one under the cursor (or all below it)."""
        from gpudoctor.tui.screens.acts import open_acts

        below = self._line.members if self._line else frozenset()
        open_acts(self, self._rows_of(self._tagged) or self._chosen() or self._rows_of(below))

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
        if self._line is not None and self._line.path:
            nearest = self._line.path[-1]
            copy(self.app, shlex.join(nearest.command) or nearest.name)

    def action_tag(self) -> None:
        """Tag the process under the cursor, or untag it, and go on to the next."""
        key = self._table.selected
        if key is not None:
            line = self._line
            self._tag(line.members if line and line.process is None else frozenset({key}))

    def action_tag_family(self) -> None:
        """Tag the process under the cursor and all that are below it, or untag them."""
        key = self._table.selected
        if key is not None:
            self._tag(self._line.members if self._line else frozenset({key}))

    def _tag(self, keys: frozenset[str]) -> None:
        self._tagged = self._tagged - keys if keys <= self._tagged else self._tagged | keys
        self._table.action_cursor(1)
        self.catch_up()

    def action_untag(self) -> None:
        """Forget the tags."""
        self._tagged = frozenset()
        self.catch_up()

    def _keep(self, **changes: Any) -> None:
        self.doctor.look = replace(self.doctor.look, **changes)

    def on_grid_header_clicked(self, event: Grid.HeaderClicked) -> None:
        """Sort by the title that was clicked."""
        if event.grid.id == "processes" and event.column in processes.SORT_KEYS:
            self.action_sort_by(event.column)

    def open_process(self, key: str) -> None:
        """Open the details of a process; a row that is on no GPU has none and folds instead."""
        line = self._lines.get(key)
        if line is not None and line.process is None:
            self._fold(key)
            return
        from gpudoctor.tui.screens.process import ProcessScreen

        self.app.push_screen(ProcessScreen(key))

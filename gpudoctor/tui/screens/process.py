"""One process in full."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.values import History, ProcessSpan
from gpudoctor.model.detail import ProcessDetail
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Level
from gpudoctor.present.details import detail_facts, span_facts
from gpudoctor.present.facts import Fact, process_facts
from gpudoctor.present.host import title_cells
from gpudoctor.present.processes import row_key, shell_line
from gpudoctor.present.verdicts import verdict_of
from gpudoctor.tui.copying import copy
from gpudoctor.tui.history import window_over
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.acts import open_acts, perform
from gpudoctor.tui.screens.facts import FactsScreen
from gpudoctor.tui.widgets.lines import Lines

# As far as the graphs of the overview go back.
_RECORDED_S = 86_400.0


class ProcessScreen(FactsScreen):
    """Stays with its process and says when it has ended, even if its pid is used again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k,f9", "act", "Act", key_display="k"),
        Binding("x", "explain", "Explain"),
        Binding("s", "stacks", "Stacks"),
        Binding("v", "visible", "Its CUDA map"),
        Binding("r", "refresh", "Read again", show=False),
        Binding("c", "copy", "Copy pid"),
        Binding("C", "copy_command", "Copy the command line", show=False),
    ]

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key
        self._last: GpuProcess | None = None
        self._there = False
        self._asked = False
        self._more: tuple[Fact, ...] = ()
        self._spans: tuple[ProcessSpan, ...] = ()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show the process, or that it is gone with what was known last."""
        self.query_one(Lines).show((title_cells(snapshot, self.doctor.paused),))
        found = next((row for row in snapshot.processes if row_key(row) == self._key), None)
        self._there = found is not None
        if found is None:
            facts = process_facts(self._last, snapshot.taken_at) if self._last else ()
            facts += self._more
            self.show_facts(
                (Fact("It holds no GPU any more; this was seen last.", heading=True), *facts)
            )
            return
        self._last = found
        judged = verdict_of(found, self.doctor.verdicts)
        recorded = tuple(span_facts(found, self._spans))
        facts = process_facts(found, snapshot.taken_at, judged)
        self.show_facts((*facts, *recorded, *self._more))
        self._show_memory(found, snapshot.taken_at)
        self._ask(found, snapshot)

    def _ask(self, process: GpuProcess, snapshot: Snapshot) -> None:
        """Once: what its files and the recordings tell does not change while one looks."""
        if self._asked:
            return
        self._asked = True
        if snapshot.source != "nvml" or not process.visible:
            return
        gpus = tuple(GpuRow(device.facts, device.mig) for device in snapshot.devices)
        apart(self.app, lambda: _read(process, gpus), self._take_detail)
        past = self.doctor.past
        if past is not None:
            now = snapshot.taken_at
            apart(self.app, lambda: past.read(now - _RECORDED_S, now), self._take_recorded)

    def _take_detail(self, came: ProcessDetail | GpuDoctorError) -> None:
        if isinstance(came, GpuDoctorError):
            self._more = (Fact("not read", came.message, Level.DIM),)
        else:
            self._more = tuple(detail_facts(came))
        self._again()

    def _take_recorded(self, came: History | GpuDoctorError | None) -> None:
        if came is not None and not isinstance(came, GpuDoctorError):
            self._spans = came.processes
            self._again()

    def _again(self) -> None:
        if self.is_attached:
            self.catch_up()

    def _show_memory(self, process: GpuProcess, now: float) -> None:
        held = self.doctor.history.processes.get(process.key)
        if held is None or held.begun is None:
            return
        window = window_over(now - held.begun)
        values = held.columns(window.seconds, self.graph_width, now)
        most = max((value for value in values if value is not None), default=0.0)
        shares = [None if value is None else value / most if most else 0.0 for value in values]
        height = units.data_size(most)
        self.show_history(f"GPU memory of the last {window.name}, full height is {height}", shares)

    def action_act(self) -> None:
        """Choose what to do to it."""
        open_acts(self, self._rows())

    def action_explain(self) -> None:
        """Why it is, or is not, left over."""
        perform(self, self._rows(), "x")

    def action_stacks(self) -> None:
        """Where its Python threads are."""
        perform(self, self._rows(), "s")

    def action_refresh(self) -> None:
        """Read its files again."""
        self._asked = False
        self.catch_up()

    def action_visible(self) -> None:
        """Which GPU is its cuda:0, by its own variables."""
        from gpudoctor.host.interpreter import environ_of
        from gpudoctor.tui.screens.visible import VisibleScreen

        rows, snapshot = self._rows(), self.doctor.snapshot
        if not rows or snapshot is None:
            return
        if snapshot.source != "nvml" or not rows[0].visible:
            self.app.notify("Its variables cannot be read from here.", severity="warning")
            return
        pid = rows[0].pid
        try:
            environ = environ_of(pid)
        except OSError as error:
            words = f"The variables of process {pid} cannot be read: {error.strerror}."
            self.app.notify(words, severity="warning", markup=False)
            return
        self.app.push_screen(VisibleScreen(environ, f"process {pid}"))

    def action_copy(self) -> None:
        """Copy its pid."""
        copy(self.app, self._key.partition("@")[0])

    def action_copy_command(self) -> None:
        """Copy its command line, as a shell takes it."""
        if self._last is not None:
            copy(self.app, shell_line(self._last))

    def _rows(self) -> list[GpuProcess]:
        return [self._last] if self._last is not None and self._there else []


def _read(process: GpuProcess, gpus: tuple[GpuRow, ...]) -> ProcessDetail:
    from gpudoctor.host.detail import detail
    from gpudoctor.reclaim.identity import check_same, identity

    ticks = identity(process.pid, process.started)
    found = detail(process.pid, process.command, gpus)
    check_same(process.pid, ticks)
    return found

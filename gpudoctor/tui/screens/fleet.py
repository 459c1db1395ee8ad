"""All machines that a Prometheus knows, and the GPUs of one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, cast

from textual.binding import Binding, BindingType

from gpudoctor import units
from gpudoctor.model.fleet import Fleet, FleetGpu
from gpudoctor.present import fleet as rows
from gpudoctor.present.cells import Cell, Level
from gpudoctor.tui.base import BaseApp
from gpudoctor.tui.copying import copy
from gpudoctor.tui.screens.asked import AskedScreen
from gpudoctor.tui.widgets.grid import Grid

_NO_MATCH = "No machine matches the filter."


@dataclass(frozen=True, slots=True)
class FleetSource:
    """Whom to ask. Both functions take time and raise GpuDoctorError."""

    name: str
    machines: Callable[[], Fleet]
    gpus: Callable[[str], tuple[FleetGpu, ...]]


class FleetScreen(AskedScreen[Fleet]):
    """One row for each machine: the sick ones first, then the idle ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f6,greater_than_sign,s", "sort", "Sort", key_display="F6"),
        Binding("I", "invert", "Invert order", show=False),
        Binding("c", "copy", "Copy the machine's name", show=False),
    ]

    def __init__(self, source: FleetSource, order: rows.FleetOrder | None = None) -> None:
        super().__init__()
        self._source = source
        self._asked_order = order
        self._order = order or rows.FleetOrder()

    def ask(self) -> Fleet:
        """All machines."""
        return self._source.machines()

    def table(self) -> Grid:
        """One row for each."""
        if self._asked_order is None:
            look = self._remembering.look
            self._order = rows.FleetOrder(look.fleet_sort, look.fleet_down)
        grid = Grid(rows.COLUMNS, dom_id="machines")
        grid.mark_sorted(self._order.key, self._order.down)
        return grid

    def title_cells(self) -> tuple[Cell, ...]:
        """Whose word this is."""
        name = Cell(units.printable(self._source.name))
        return (Cell("gpudoctor", Level.GOOD), Cell("fleet"), name)

    def summary(self, answer: Fleet) -> str:
        """The fleet in one line."""
        return rows.total_text(answer)

    def fill(self, answer: Fleet) -> None:
        """Filter, sort, show."""
        grid = self.query_one(Grid)
        grid.say_when_empty(_NO_MATCH)
        machines = rows.matching(answer.machines, self.query_words)
        grid.show([rows.machine_row(it) for it in rows.ordered(machines, self._order)])

    def action_sort(self) -> None:
        """Choose the column to sort by."""
        from gpudoctor.tui.screens.sort import SortScreen

        order = self._order
        choice = SortScreen(rows.COLUMNS, rows.SORT_KEYS, order.key, down=order.down)
        self.app.push_screen(choice, self._sort_by)

    def action_invert(self) -> None:
        """Turn the order round."""
        self._sort_by(self._order.key)

    def on_grid_header_clicked(self, event: Grid.HeaderClicked) -> None:
        """Sort by the title that was clicked."""
        self._sort_by(event.column)

    def _sort_by(self, key: str | None) -> None:
        if key is None:
            return
        same = key == self._order.key
        self._order = rows.FleetOrder(key, not self._order.down) if same else rows.natural(key)
        app, order = self._remembering, self._order
        app.look = replace(app.look, fleet_sort=order.key, fleet_down=order.down)
        self.query_one(Grid).mark_sorted(order.key, order.down)
        self.refill()

    @property
    def _remembering(self) -> BaseApp:
        return cast(BaseApp, self.app)

    def action_copy(self) -> None:
        """Copy the name of the machine under the cursor."""
        selected = self.query_one(Grid).selected
        if selected is not None:
            copy(self.app, selected)

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Open the machine's GPUs."""
        self.app.push_screen(MachineScreen(self._source, event.key))


class MachineScreen(AskedScreen[tuple[FleetGpu, ...]]):
    """The GPUs of one machine, by index."""

    def __init__(self, source: FleetSource, instance: str) -> None:
        super().__init__()
        self._source = source
        self._instance = instance

    def ask(self) -> tuple[FleetGpu, ...]:
        """Its GPUs."""
        return self._source.gpus(self._instance)

    def table(self) -> Grid:
        """One row for each GPU."""
        return Grid(rows.GPU_COLUMNS, opens=False, dom_id="machines")

    def title_cells(self) -> tuple[Cell, ...]:
        """Which machine."""
        return (Cell("gpudoctor", Level.GOOD), Cell(units.printable(self._instance)))

    def summary(self, answer: tuple[FleetGpu, ...]) -> str:
        """Its GPUs in one line."""
        if not answer:
            return "The Prometheus tells of no GPU on this machine now."
        power = [gpu.power_watts for gpu in answer if gpu.power_watts is not None]
        drawn = f"; {units.watts(sum(power))}" if power else ""
        sick = sum(rows.gpu_severity(gpu) > 1 for gpu in answer)
        told = f"; {sick} to be looked at" if sick else ""
        return f"{len(answer)} GPUs{drawn}{told}"

    def fill(self, answer: tuple[FleetGpu, ...]) -> None:
        """Filter and show."""
        grid = self.query_one(Grid)
        grid.say_when_empty("No GPU matches the filter." if answer else "No GPU.")
        words = self.query_words.casefold().split()
        shown = [
            gpu for gpu in answer if all(word in " ".join(_words(gpu)).casefold() for word in words)
        ]
        grid.show([rows.gpu_row(gpu) for gpu in shown])


def _words(gpu: FleetGpu) -> tuple[str, ...]:
    return (gpu.uuid, gpu.name or "", *gpu.users, *(cell.text for cell in rows.gpu_row(gpu).cells))

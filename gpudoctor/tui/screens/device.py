"""All readings of one GPU."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.facts import Fact, device_facts
from gpudoctor.present.host import title_cells
from gpudoctor.tui.copying import copy
from gpudoctor.tui.screens.facts import FactsScreen
from gpudoctor.tui.widgets.lines import Lines


class DeviceScreen(FactsScreen):
    """One GPU; a MIG instance opens the GPU that it is part of."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "copy", "Copy UUID")]

    def __init__(self, uuid: str) -> None:
        super().__init__()
        self._uuid = uuid

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show the GPU's readings and its utilisation of late."""
        self.query_one(Lines).show((title_cells(snapshot, self.doctor.paused),))
        device = next(
            (
                device
                for device in snapshot.devices
                if self._uuid in (device.uuid, *(item.uuid for item in device.mig.instances))
            ),
            None,
        )
        if device is None:
            self.show_facts((Fact("GPU", f"{self._uuid} is not there any more"),))
            return
        self.show_facts(device_facts(device, snapshot.taken_at))
        track = self.doctor.history.utilization.get(device.uuid)
        if track is not None:
            shown = track.columns(600, self.graph_width, snapshot.taken_at)
            self.show_history("Utilization of the last 10 minutes", shown)

    def action_copy(self) -> None:
        """Copy its UUID, which CUDA_VISIBLE_DEVICES takes."""
        copy(self.app, self._uuid)

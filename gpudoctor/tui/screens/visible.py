"""Physical GPU -> CUDA ordinal: what a process would see with these variables, while one types them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Label, Static

from gpudoctor.host.visibility import with_notes
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.host import title_cells
from gpudoctor.present.visible import answer_lines, assignment, parsed, picture, typed
from gpudoctor.present.words import line
from gpudoctor.tui.copying import copy
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines
from gpudoctor.tui.widgets.styling import worded
from gpudoctor.tui.widgets.told import Told

_ORDER, _VISIBLE = "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES"
_HINTS = {
    _VISIBLE: 'unset: all GPUs. 3,1 or GPU-uuid or MIG-uuid; "": none',
    _ORDER: "unset: FASTEST_FIRST. PCI_BUS_ID counts as nvidia-smi does",
}


class VisibleScreen(LiveScreen):
    """Two inputs above, the map and the reasons below. Nothing is set anywhere."""

    AUTO_FOCUS = f"#{_VISIBLE}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back", key_display="Esc"),
        Binding("tab,down", "app.focus_next", "Other variable", key_display="Tab"),
        Binding("up", "app.focus_previous", "Other variable", show=False),
        Binding("f2", "copy", "Copy as a shell command", key_display="F2"),
        Binding("f3", "clear", "Unset both", key_display="F3"),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
    ]

    def __init__(self, environ: Mapping[str, str] | None = None, whose: str = "") -> None:
        super().__init__()
        self._environ = environ
        self._whose = whose
        self._gpus: tuple[GpuRow, ...] = ()

    def compose(self) -> ComposeResult:
        """Title, inputs, answer."""
        yield Lines(spread=True, dom_id="title")
        for name in (_VISIBLE, _ORDER):
            with Horizontal(classes="variable"):
                yield Label(f"{name:<21}")
                yield Input(placeholder=_HINTS[name], id=name, compact=True)
        yield VerticalScroll(Static(id="map"), Told(dom_id="reasons"), id="answer", can_focus=False)
        yield KeyBar()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Begin with the variables of this process; follow GPUs and MIG instances."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))
        if self._environ is None:
            # The variables of this process say nothing about another machine.
            self._environ = dict(os.environ) if snapshot.source == "nvml" else {}
        if not self._gpus:
            for name in (_VISIBLE, _ORDER):
                self._input(name).value = typed(self._environ.get(name))
        gpus = tuple(GpuRow(device.facts, device.mig) for device in snapshot.devices)
        if gpus != self._gpus:
            self._gpus = gpus
            self._show()

    def _input(self, name: str) -> Input:
        return self.query_one(f"#{name}", Input)

    def on_input_changed(self) -> None:
        """Answer while typing."""
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        """Draw the lines anew."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        environ = dict(self._environ or {})
        for name in (_VISIBLE, _ORDER):
            environ.pop(name, None)
            value = parsed(self._input(name).value)
            if value is not None:
                environ[name] = value
        answer = with_notes(resolve(environ, self._gpus), environ)
        width = max(20, self.size.width - 4)
        page = self.query_one("#answer")
        drawn = [*picture(answer, self._gpus, width, self.doctor.glyphs), line("")]
        if self._whose:
            drawn.insert(0, line(f"Begun with the variables of {self._whose}."))
        self.query_one("#map", Static).update(worded(page, drawn))
        self.query_one("#reasons", Told).tell(answer_lines(answer))

    def action_copy(self) -> None:
        """Copy the command that sets them so, through the terminal (OSC 52)."""
        values = [parsed(self._input(name).value) for name in (_VISIBLE, _ORDER)]
        command = assignment(*values)
        copy(self.app, command)

    def action_page(self, by: int) -> None:
        """Scroll the answer while one types."""
        page = self.query_one("#answer")
        page.scroll_relative(y=by * max(1, page.size.height - 1), animate=False)

    def action_clear(self) -> None:
        """As if neither were set."""
        for name in (_VISIBLE, _ORDER):
            self._input(name).value = ""

"""What is wrong with this machine and its Python, why, and what to do; and the facts beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Static

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.environment import EnvironmentReport
from gpudoctor.model.finding import Finding
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.environment import sections, suspicious
from gpudoctor.present.findings import COLUMNS, finding_lines, finding_rows, fix_text, summary
from gpudoctor.present.host import title_cells
from gpudoctor.present.words import line
from gpudoctor.tui.examine import Examined, examine, save, told_too
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines
from gpudoctor.tui.widgets.list import Listing
from gpudoctor.tui.widgets.told import Told

_WIDE = 110
_LABEL = 30
Look = Callable[[Snapshot, Callable[[str], None]], Examined]
_NOT_LOCAL = "A recording: this machine and its Python were not looked at."


class EnvironmentScreen(LiveScreen):
    """Findings above (at the left, where it is wide), the one under the cursor in full, then the facts."""

    AUTO_FOCUS = "#findings"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r,f5", "again", "Again", key_display="r"),
        Binding("c", "copy", "Copy fix"),
        Binding("S", "save", "Save"),
        Binding("escape,backspace,E,f7", "app.pop_screen", "Back", key_display="Esc"),
        Binding("tab", "app.focus_next", "Other part", key_display="Tab"),
    ]

    def __init__(self, look: Look = examine, folder: Path | None = None) -> None:
        super().__init__()
        self._look = look
        self._folder = folder
        self._examined: Examined | None = None
        self._doing = ""
        self._begun = 0.0
        self._ticking: Timer | None = None

    def compose(self) -> ComposeResult:
        """Title, one line that says how it stands, and three parts."""
        yield Lines(spread=True, dom_id="title")
        yield Lines(dom_id="standing")
        with Container(id="parts"):
            with Vertical(id="wrong"):
                yield Listing(COLUMNS, empty="", dom_id="findings")
                yield VerticalScroll(Told(dom_id="finding-text"), id="finding")
            yield VerticalScroll(Static(id="facts-text"), id="environment")
        yield KeyBar()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Only the title follows the machine; the rest is as it was when it was examined."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))
        if self._begun == 0.0:
            self.action_again()

    def on_resize(self, event: events.Resize) -> None:
        """Side by side where there is room."""
        self.query_one("#parts").set_class(event.size.width >= _WIDE, "side-by-side")
        if self._examined is not None:
            self.call_after_refresh(self._show_facts, self._examined.environment)

    def action_again(self) -> None:
        """Examine the machine anew, unless that is being done."""
        snapshot = self.doctor.snapshot
        if snapshot is None or self._ticking is not None:
            return
        self._begun = time.monotonic()
        self._ticking = self.set_interval(0.5, self._tick)
        apart(self.app, lambda: self._look(snapshot, self._say), self._arrived)
        self._tick()

    def _say(self, doing: str) -> None:
        # Called in the other thread: what it says is painted at the next tick.
        self._doing = doing

    def _tick(self) -> None:
        waited = units.duration(float(round(time.monotonic() - self._begun)))
        self._stand(f"{self._doing or 'beginning'} … {waited}", Level.NOTICE)

    def _stand(self, text: str, level: Level = Level.PLAIN) -> None:
        self.query_one("#standing", Lines).show(((Cell(units.printable(text), level),),))

    def _arrived(self, came: Examined | GpuDoctorError) -> None:
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            self._stand(f"{came.message}: {came.cause}", Level.BAD)
            return
        self.doctor.own = came.report.findings
        self._examined = came = told_too(came, self.doctor.told)
        worst = came.report.worst
        self._stand(summary(came.report), Level.GOOD if worst is None else Level.PLAIN)
        self.query_one(Listing).show(finding_rows(came.report))
        self._show_finding()
        self._show_facts(came.environment)

    def on_listing_moved(self) -> None:
        """Another finding is under the cursor."""
        self._show_finding()

    def on_grid_opened(self) -> None:
        """Give the keys to the text of the finding."""
        self.query_one("#finding").focus()

    def _finding(self) -> Finding | None:
        key = self.query_one(Listing).selected
        return (
            None
            if self._examined is None or key is None
            else self._examined.report.findings[int(key)]
        )

    def _show_finding(self) -> None:
        found = self._finding()
        nothing = line("Nothing is wrong, as far as the checks can see.")
        self.query_one("#finding-text", Told).tell(finding_lines(found) if found else (nothing,))
        self.query_one("#finding").scroll_home(animate=False)

    def _show_facts(self, report: EnvironmentReport | None) -> None:
        shown: RenderableType = Text(_NOT_LOCAL) if report is None else self._table(report)
        self.query_one("#facts-text", Static).update(shown)

    def _table(self, report: EnvironmentReport) -> Group:
        colours, set_ = self.app.theme_variables, self.doctor.glyphs
        parts: list[RenderableType] = []
        # By the screen's width: the part's own is not known before it was laid out.
        room = self.size.width // (2 if self.size.width >= _WIDE else 1) - 4
        wide = min(_LABEL, room // 2)
        for section in sections(report):
            if section.long:
                continue
            parts.append(Text(("\n" if parts else "") + section.title, "bold underline"))
            table = Table.grid(padding=(0, 2, 0, 0))
            table.add_column(width=wide, style=colours["dim"], overflow="fold")
            table.add_column(overflow="fold")
            for label, value in section.rows:
                style = f"bold {colours['warning']}" if suspicious(label, value) else ""
                shown = " ".join(units.printable(part) for part in value.splitlines())
                table.add_row(
                    Text(set_.text(units.printable(label))), Text(set_.text(shown), style)
                )
            parts.append(table)
        return Group(*parts)

    def action_copy(self) -> None:
        """Copy the commands of the fix, through the terminal (OSC 52)."""
        found = self._finding()
        text = fix_text(found) if found is not None else None
        if text is None:
            self._stand("there is no fix to copy")
            return
        self.app.copy_to_clipboard(text)
        self._stand(f"copied: {text.splitlines()[0]}", Level.GOOD)

    def action_save(self) -> None:
        """Write the whole report to a file that can be pasted into an issue."""
        if self.doctor.read_only:
            self._stand("nothing is saved: this screen is read-only")
            return
        examined = self._examined
        if examined is not None:
            folder = self._folder or Path.cwd()
            apart(self.app, lambda: save(examined, folder, time.time()), self._saved)

    def _saved(self, came: Path | GpuDoctorError) -> None:
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            self._stand(f"{came.message}: {came.cause}", Level.BAD)
        else:
            self._stand(f"saved to {came}, without your name and the host's", Level.GOOD)

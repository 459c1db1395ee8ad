"""Measures cuDNN's modes, or a script's settings, from the screen, and shows earlier results."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.bench import BenchReport
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.bench import COLUMNS, heading_lines, result_lines, result_rows
from gpudoctor.present.host import title_cells
from gpudoctor.present.words import line
from gpudoctor.tui.benches import benches, keep, kept_benches, load
from gpudoctor.tui.errands import Errand
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.form import FormScreen
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.screens.report import open_page
from gpudoctor.tui.screens.run import Make, RunScreen
from gpudoctor.tui.sessions import Kept, new_folder, shown
from gpudoctor.tui.widgets.grid import Grid
from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.lines import Lines
from gpudoctor.tui.widgets.list import Listing
from gpudoctor.tui.widgets.told import Told


class BenchScreen(FormScreen):
    """Runs `gpudoctor bench cudnn`, or `gpudoctor bench main.py` where a script is named."""

    AUTO_FOCUS = "#script"
    OPENED_BY = "benches"
    FIELDS = (
        ("script", "script", "main.py; empty: cuDNN's modes; F2 chooses"),
        ("arguments", "its arguments", "as in a shell"),
        ("networks", "networks (cuDNN)", "resnet50, unet, conv1d, vgg, convnext"),
        ("settings", "modes or settings", "empty: all"),
        ("rounds", "rounds", "5; nothing is claimed from fewer than 3"),
        ("budget", "time", "5m, 90s, 1h; empty: as the command has it"),
        ("python", "interpreter", "empty: found by itself"),
    )
    NOTHING_YET = "No benchmark yet."

    def about(self) -> str:
        """Where they are kept."""
        return f"Kept in {shown(benches())}"

    def place(self) -> Path:
        """The folder of all benchmarks."""
        return benches()

    def look(self) -> tuple[Kept, ...]:
        """The earlier benchmarks."""
        return kept_benches(benches())

    def begin(self) -> None:
        """Measure."""
        script = self.script() if self.value("script") else None
        arguments = self.words("arguments")
        if script is None and arguments:
            raise GpuDoctorError("arguments are a script's: name one")
        program = (script, *arguments) if script else ("cudnn", *self.value("networks").split())
        folder = new_folder(benches(), Path(program[0]).stem, time.time())
        folder.mkdir(mode=0o700)
        options = ["--json", "--html", str(folder / "report.html"), *self._options(script)]
        command = (
            ["bench", "cudnn", *options]
            if script is None
            else ["bench", *options, script, *(["--", *arguments] if arguments else [])]
        )
        errand = self.errands.begin(Errand(command))
        then = functools.partial(_then, folder, time.time(), program)
        title = f"bench {' '.join(program[:2])}"
        self.app.push_screen(RunScreen(title, errand, lambda: "", then))

    def _options(self, script: str | None) -> list[str]:
        named = {
            "--model": "" if script else self.value("networks").replace(" ", ""),
            "--try" if script else "--modes": self.value("settings").replace(" ", ""),
            "--rounds": self.value("rounds"),
            "--budget": self.value("budget"),
            "--python": self.value("python"),
        }
        return [word for name, value in named.items() if value for word in (name, value)]

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Show what was measured then."""
        self.app.push_screen(BenchResultScreen(Path(event.key)))

    def action_page(self) -> None:
        """Open the report of the benchmark under the cursor as HTML."""
        one = self.chosen()
        if one is not None:
            open_page(self.app, one.folder / "report.html")


def _then(folder: Path, started_at: float, program: tuple[str, ...], errand: Errand) -> Make | None:
    if errand.code != 0 or not errand.output:
        if not any(folder.iterdir()):
            folder.rmdir()
        return None
    report = keep(folder, started_at, program, errand.output)
    return functools.partial(BenchResultScreen, folder, report)


class BenchResultScreen(LiveScreen):
    """The verdicts, the settings as a table, and the one under the cursor in full."""

    AUTO_FOCUS = "#results"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "Back", key_display="Esc"),
        Binding("o", "page", "HTML page"),
        Binding("tab", "app.focus_next", "Next part", show=False),
    ]

    def __init__(self, folder: Path, report: BenchReport | None = None) -> None:
        super().__init__()
        self._folder = folder
        self._report = report

    def compose(self) -> ComposeResult:
        """Title, verdicts, table, details."""
        yield Lines(spread=True, dom_id="title")
        yield Told(dom_id="verdicts")
        yield Listing(COLUMNS, empty="Nothing was measured.", dom_id="results")
        yield VerticalScroll(Told(dom_id="report-text"), id="report")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read it, unless it has just been measured."""
        super().on_mount()
        if self._report is not None:
            self.call_after_refresh(self._arrived, self._report)
        else:
            apart(self.app, lambda: load(self._folder), self._arrived)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """The title alone is about the machine."""
        self.query_one("#title", Lines).show((title_cells(snapshot, self.doctor.paused),))

    def _arrived(self, came: BenchReport | GpuDoctorError) -> None:
        if not self.is_attached:
            return
        head = self.query_one("#verdicts", Told)
        if isinstance(came, GpuDoctorError):
            head.tell((line(f"{came.message}: {came.cause}"),))
            return
        self._report = came
        head.tell(heading_lines(came))
        self.query_one(Listing).show(result_rows(came))
        self.on_listing_moved()

    def on_listing_moved(self) -> None:
        """Another setting is under the cursor."""
        key = self.query_one(Listing).selected
        if self._report is None or key is None:
            return
        self.query_one("#report-text", Told).tell(result_lines(self._report.results[int(key)]))

    def on_grid_opened(self) -> None:
        """Give the keys to the details."""
        self.query_one("#report").focus()

    def action_page(self) -> None:
        """Open the report as HTML."""
        open_page(self.app, self._folder / "report.html")

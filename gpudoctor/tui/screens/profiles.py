"""Profiles a script from the screen, and shows what earlier profiles found."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from gpudoctor.errors import GpuDoctorError
from gpudoctor.present.cells import Level
from gpudoctor.tui.errands import Errand
from gpudoctor.tui.screens.form import FormScreen, names
from gpudoctor.tui.screens.report import ReportScreen, open_page
from gpudoctor.tui.screens.run import Make, RunScreen
from gpudoctor.tui.sessions import Kept, kept_profiles, new_folder, profiles, progress, shown
from gpudoctor.tui.widgets.grid import Grid


class ProfileScreen(FormScreen):
    """Runs `gpudoctor profile`; everything is kept in the user's state folder."""

    AUTO_FOCUS = "#script"
    OPENED_BY = "profiles"
    FIELDS = (
        ("script", "script", "main.py; F2 chooses"),
        ("arguments", "its arguments", "as in a shell: --epochs 1 --data 'my folder'"),
        ("python", "interpreter", "python, or its environment; empty: found by itself"),
        ("processes", "processes", "empty: one; 8, or gpu: ranks, as torchrun starts them"),
    )
    NOTHING_YET = "No profile yet."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "tag", "Tag", key_display="Space"),
        Binding("d", "diff", "Compare"),
    ]

    def about(self) -> str:
        """Where profiles are kept."""
        return f"In the list Space tags, d compares two, D deletes.\nKept in {shown(profiles())}"

    def place(self) -> Path:
        """The folder of all profiles."""
        return profiles()

    def look(self) -> tuple[Kept, ...]:
        """The earlier profiles."""
        return kept_profiles(profiles())

    def begin(self) -> None:
        """Profile the script as it is."""
        script, arguments = self.script(), self.words("arguments")
        folder = new_folder(profiles(), Path(script).stem, time.time())
        options = ["--json", "--out", str(folder)]
        if python := self.value("python"):
            options += ["--python", python]
        if processes := self.value("processes"):
            options += ["--nproc-per-node", processes]
        errand = self.errands.begin(Errand(("profile", *options, script, *arguments)))
        self.app.push_screen(following(f"profile {script}", errand, folder))

    def on_grid_opened(self, event: Grid.Opened) -> None:
        """Show what was found then."""
        folder = Path(event.key)
        self.app.push_screen(profile_report(folder))

    def action_tag(self) -> None:
        """Tag the profile under the cursor, to compare two."""
        self.tag()

    def action_diff(self) -> None:
        """What changed from the older of the tagged two to the newer."""
        two = self.tagged()
        if len(two) != 2:
            self.say("Tag two profiles with Space: they are then compared.", Level.WARN)
            return
        self.app.push_screen(ReportScreen("what changed", ("profile", "--diff", *names(two))))

    def action_page(self) -> None:
        """Open the report of the profile under the cursor as HTML."""
        one = self.chosen()
        if one is not None:
            open_page(self.app, one.folder / "report.html")


def profile_report(folder: Path) -> ReportScreen:
    """The report on the profile in `folder`."""
    return ReportScreen("profile", ("profile", "--load", str(folder)), folder)


def following(title: str, errand: Errand, folder: Path) -> RunScreen:
    """The screen of a profile that has begun and will leave its session in `folder`."""
    return RunScreen(title, errand, lambda: progress(folder), functools.partial(_then, folder))


def _then(folder: Path, errand: Errand) -> Make | None:
    # The script's own exit code is the command's, so it tells nothing of the profile.
    if not (folder / "profile.json").exists():
        return None
    if errand.failure is not None:
        raise GpuDoctorError(errand.failure)
    return functools.partial(profile_report, folder)

"""What all screens that show the machine have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from textual.screen import Screen

from gpudoctor.model.check import Inspected
from gpudoctor.model.finding import Finding
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.glyphs import Glyphs
from gpudoctor.present.remarks import Remark
from gpudoctor.present.verdicts import Verdicts
from gpudoctor.tui.feed import Past
from gpudoctor.tui.history import History
from gpudoctor.tui.look import Look


class Doctor(Protocol):
    """What a screen may ask of the application."""

    glyphs: Glyphs
    history: History
    snapshot: Snapshot | None
    paused: bool
    verdicts: Verdicts
    see: Callable[[], Snapshot]
    look: Look
    read_only: bool
    past: Past | None
    own: tuple[Finding, ...]
    told: Inspected | None

    @property
    def note(self) -> str:
        """Where the readings come from, where that is not the driver itself."""
        ...

    @property
    def checked(self) -> tuple[Remark, ...]:
        """What is to be remarked of what the checks found, from here and by the daemon."""
        ...

    def newest(self) -> Snapshot | None:
        """The newest snapshot, also while the picture is held."""
        ...

    def settled(self, process: GpuProcess) -> bool:
        """Whether a process was watched for long enough to be judged, or nobody judges."""
        ...

    def judged(self, process: GpuProcess) -> Orphan | None:
        """The latest verdict on a process, also where nothing speaks against it."""
        ...


class LiveScreen(Screen[None]):
    """A screen that is shown the newest snapshot when it opens, when it comes back, and at each look."""

    ready = False

    @property
    def doctor(self) -> Doctor:
        """The application, as far as screens know it."""
        return cast(Doctor, self.app)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show this snapshot."""
        raise TypeError(f"{type(self).__name__} shows nothing")

    def on_mount(self) -> None:
        """All parts are there from now on."""
        self.ready = True
        self.catch_up()

    def on_screen_resume(self) -> None:
        """Show what came while another screen was in front."""
        if self.ready:
            self.catch_up()

    def catch_up(self) -> None:
        """Show the newest snapshot again."""
        if self.doctor.snapshot is not None:
            self.show_snapshot(self.doctor.snapshot)

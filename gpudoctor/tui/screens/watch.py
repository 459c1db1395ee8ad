"""Profiles a process that already runs, for some seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.process import GpuProcess
from gpudoctor.present.cells import Level
from gpudoctor.present.words import Words, line
from gpudoctor.tui.errands import Errand, HasErrands
from gpudoctor.tui.looking import apart
from gpudoctor.tui.screens.acts import WATCHED_S
from gpudoctor.tui.screens.deed import AskScreen
from gpudoctor.tui.screens.profiles import following
from gpudoctor.tui.sessions import new_folder, profiles


class WatchScreen(AskScreen):
    """Says what can be seen of the process, asks, and goes on to the running profile."""

    def __init__(self, row: GpuProcess) -> None:
        super().__init__(f"Profile for {WATCHED_S} s", self._look)
        self._row = row
        self._start_ticks = 0

    def _look(self) -> tuple[Words, ...]:
        from gpudoctor.profile.reach import reach
        from gpudoctor.reclaim.identity import identity

        pid = self._row.pid
        self._start_ticks = identity(pid, self._row.started)
        way = reach(pid)
        if way.no_stacks is not None and way.no_operators is not None:
            causes = dict.fromkeys((way.no_stacks, way.no_operators))
            raise GpuDoctorError(f"process {pid} cannot be profiled", cause="; ".join(causes))
        return (
            line(f"Process {pid} will be watched from outside for {WATCHED_S} s; it lives on."),
            _answer("Python stacks", way.no_stacks, "by py-spy, which lets it stand still briefly"),
            _answer("Operators", way.no_operators, "by its own libkineto"),
        )

    def agreed(self) -> None:
        """Begin."""
        apart(self.app, self._folder, self._begin)

    def _folder(self) -> Path:
        from gpudoctor.reclaim.identity import check_same

        check_same(self._row.pid, self._start_ticks)
        return new_folder(profiles(), f"pid-{self._row.pid}", time.time())

    def _begin(self, came: Path | GpuDoctorError) -> None:
        if not self.is_attached:
            return
        if isinstance(came, GpuDoctorError):
            self.refuse(came)
            return
        pid = self._row.pid
        options = ("--json", "--pid", str(pid), "--duration", str(WATCHED_S), "--out", str(came))
        errand = cast(HasErrands, self.app).errands.begin(Errand(("profile", *options)))
        self.app.switch_screen(following(f"profile of process {pid}", errand, came))


def _answer(what: str, why_not: str | None, yes: str) -> Words:
    if why_not is None:
        return line(f"{what}: {yes}.")
    return line(f"{what}: no, {why_not}.", Level.DIM)

"""Deletes what earlier profiles and benches left, after a question. No painting."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.present.cells import Level
from gpudoctor.present.words import Words, line
from gpudoctor.tui.deeds import Done
from gpudoctor.tui.sessions import Kept, shown


class Remove:
    """Deletes folders that lie in `place`, and nothing else."""

    title = "Delete"

    def __init__(self, kept: Sequence[Kept], place: Path) -> None:
        self._kept = tuple(kept)
        self._place = place

    def prepare(self) -> tuple[Words, ...]:
        """Which folders, and how much they hold."""
        lines = [line(f"Will be deleted from {shown(self._place)}, with all that is in them:")]
        for one in self._kept:
            self._check(one.folder)
            size = units.data_size(_size(one.folder))
            what = units.printable(" ".join(one.program))
            lines.append(line(f"  {one.folder.name}  {size}  {what}"))
        return (*lines, line(""), line("They cannot be had back.", Level.DIM))

    def do(self) -> Done:
        """Deletes them; one that cannot be deleted stops no other."""
        lines: list[Words] = []
        left = 0
        for one in self._kept:
            try:
                self._check(one.folder)
                shutil.rmtree(one.folder)
            except (OSError, GpuDoctorError) as error:
                left += 1
                lines.append(line(f"{one.folder.name} is still there: {error}", Level.WARN))
            else:
                lines.append(line(f"{one.folder.name} is deleted.", Level.GOOD))
        return Done(tuple(lines), not left)

    def _check(self, folder: Path) -> None:
        # What a link leads to is not what the list shows.
        if folder.parent != self._place or folder.is_symlink() or not folder.is_dir():
            raise GpuDoctorError(f"{folder} is no folder of {self._place}")


def _size(folder: Path) -> int:
    """The bytes of all files below `folder`, without following links."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            # A run that goes on may delete some of its files.
            with contextlib.suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total

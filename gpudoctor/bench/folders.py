"""A copy of the working folder for each run, so that checkpoints and logs of the user stay alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.units import count, data_size

_MOST_BYTES = 2 * 1024**3
_MOST_FILES = 100_000
# Too large to copy and not written to by a training run: these stay links.
_LINKED = (".git", ".venv", "venv", "node_modules", ".tox")


def check(folder: Path) -> None:
    """Raises GpuDoctorError where `folder` is too large to be copied for every run."""
    size = files = 0
    for at, names, found in os.walk(folder):
        names[:] = [name for name in names if name not in _LINKED]
        files += len(found)
        size += sum((Path(at) / name).lstat().st_size for name in found)
        if size > _MOST_BYTES or files > _MOST_FILES:
            raise GpuDoctorError(
                f"{folder} is too large to be copied for every run",
                cause=f"more than {data_size(_MOST_BYTES)} or {count(_MOST_FILES)} files",
                hint="Start from a smaller folder, or without --cwd-copy.",
            )


def copy(folder: Path, into: Path) -> Path:
    """A fresh copy of `folder`; an older one at the same place is removed."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(
        folder, into, symlinks=True, ignore=shutil.ignore_patterns(*_LINKED), dirs_exist_ok=False
    )
    for name in _LINKED:
        if (folder / name).exists():
            (into / name).symlink_to(folder / name)
    return into

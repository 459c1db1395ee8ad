"""Lays a session's trace where TensorBoard's profiler plugin looks for it."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

from gpudoctor.profile.session import Session

FOLDER = "tensorboard"
_TRACES = "*.pt.trace.json*"


def place_trace(folder: Path, session: Session, into: Path, worker: str) -> Path | None:
    """Links (or copies) the trace in `folder` to `into`/tensorboard/WORKER.MS.pt.trace.json, where MS is when
    the window ended, in milliseconds of Unix time; None where there is no trace.

    Raises:
        OSError: it cannot be written.
    """
    seen = session.window
    if seen.state != "done" or seen.trace is None:
        return None
    trace = folder / Path(seen.trace).name
    if not trace.exists() or not stat.S_ISREG(trace.lstat().st_mode):
        return None
    target = into / FOLDER
    # A folder that somebody handed over may hold a link of this name, to be written through.
    if target.is_symlink():
        target.unlink()
    target.mkdir(exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", worker)
    ending = ".pt.trace.json.gz" if trace.suffix == ".gz" else ".pt.trace.json"
    placed = target / f"{name}.{seen.ended_at_ns // 1_000_000}{ending}"
    placed.unlink(missing_ok=True)
    try:
        os.link(trace, placed)
    except OSError:  # another file system, or one that has no links
        shutil.copyfile(trace, placed)
    return placed


def forget_traces(folder: Path) -> None:
    """Removes what `place_trace` left in `folder` for an earlier run."""
    placed = folder / FOLDER
    if placed.is_symlink() or not placed.is_dir():
        return
    for path in placed.glob(_TRACES):
        path.unlink()

"""What the screen's profiles and benches left on disk: where, and what they say in short. No painting.

Everything here reads or makes files, so it is never to be called in the painting thread.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.parked import state_folder
from gpudoctor.model.decoding import decoder
from gpudoctor.model.finding import Severity
from gpudoctor.present.cells import Level
from gpudoctor.profile.session import regular

# As many as anybody scrolls through; older ones stay on the disk.
MOST_LISTED = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_FAILURES = {"exception": "failed", "not started": "did not start"}
_LEVELS = {Severity.INFO: Level.NOTICE, Severity.WARNING: Level.WARN, Severity.ERROR: Level.BAD}


@dataclass(frozen=True, slots=True)
class Kept:
    """One run that was kept. `started_at` in seconds since the epoch."""

    folder: Path
    program: tuple[str, ...]
    started_at: float
    seconds: float | None
    verdict: str
    level: Level = Level.PLAIN


class _Run(msgspec.Struct):
    program: tuple[str, ...]
    started_at: float
    wall_seconds: float
    how: str
    exception: str | None = None


class _Finding(msgspec.Struct):
    summary: str
    severity: Severity


class _Profile(msgspec.Struct):
    run: _Run
    findings: tuple[_Finding, ...] = ()


class _RankFinding(msgspec.Struct):
    finding: _Finding


class _Ranks(msgspec.Struct):
    """The same of several ranks of one job; findings are those of the ranks together."""

    profiles: Annotated[tuple[_Profile, ...], msgspec.Meta(min_length=1)]
    findings: tuple[_RankFinding, ...] = ()


class _Count(msgspec.Struct, frozen=True):
    count: int = 0


class _State(msgspec.Struct, frozen=True):
    state: str = "off"


class _Now(msgspec.Struct):
    """What the runner says of a run that goes on."""

    steps: _Count = _Count()
    batches: _Count = _Count()
    forwards: _Count = _Count()
    window: _State = _State()


def profiles() -> Path:
    """Where the screen's profiles are kept."""
    return state_folder() / "profiles"


def shown(place: Path) -> str:
    """A folder as people write it: the home folder is `~`."""
    home = Path.home()
    return f"~/{place.relative_to(home)}" if place.is_relative_to(home) else str(place)


def new_folder(place: Path, name: str, now: float) -> Path:
    """A name that no other run has; the folder above is made, private to the user.

    Raises:
        GpuDoctorError: it cannot be made.
    """
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise GpuDoctorError(
            f"{place} cannot be made",
            cause=error.strerror,
            hint="Set XDG_STATE_HOME to a folder that can be written.",
        ) from error
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    stem = f"{stamp}-{_UNSAFE.sub('-', name)[:40].strip('-') or 'run'}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 100)))
    return next(place / one for one in names if not (place / one).exists())


def kept_profiles(place: Path) -> tuple[Kept, ...]:
    """The profiles in `place`, the newest first. What cannot be read is passed over."""
    found = (_profile(folder) for folder in folders(place))
    return tuple(one for one in found if one is not None)


def folders(place: Path) -> Iterator[Path]:
    """What lies in `place`, the newest first by its name."""
    try:
        names = sorted((one.name for one in place.iterdir()), reverse=True)
    except OSError:
        return
    yield from (place / name for name in names[:MOST_LISTED])


def _profile(folder: Path) -> Kept | None:
    try:
        seen = _decoded(regular(folder / "profile.json"))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, GpuDoctorError):
        return None
    if isinstance(seen, _Ranks):
        return _of_ranks(folder, seen)
    run = seen.run
    return Kept(folder, run.program, run.started_at, run.wall_seconds, *_verdict(seen))


def _decoded(written: bytes) -> _Profile | _Ranks:
    try:
        return decoder(_Profile).decode(written)
    except msgspec.ValidationError:
        return decoder(_Ranks).decode(written)


def _of_ranks(folder: Path, seen: _Ranks) -> Kept:
    """Several ranks as one run: from the first one's start to the last one's end."""
    runs = [one.run for one in seen.profiles]
    began = min(run.started_at for run in runs)
    took = max(run.started_at + run.wall_seconds for run in runs) - began
    failed = next((one for one in seen.profiles if one.run.how in _FAILURES), None)
    together = _Profile(runs[0], tuple(one.finding for one in seen.findings))
    words, level = _verdict(failed or together)
    many = f"{len(runs)} ranks: " if len(runs) > 1 else "1 rank: "
    return Kept(folder, runs[0].program, began, took, many + words, level)


def _verdict(seen: _Profile) -> tuple[str, Level]:
    if seen.run.how in _FAILURES:
        words = _FAILURES[seen.run.how]
        return f"{words}: {units.text(seen.run.exception)}", Level.BAD
    if seen.findings:
        first = seen.findings[0]
        more = len(seen.findings) - 1
        return first.summary + (f" (+{more} more)" if more else ""), _LEVELS[first.severity]
    return "nothing to complain about", Level.GOOD


def progress(folder: Path) -> str:
    """How far the run whose session is in `folder` has come, as of its last word, which may be old."""
    # Of several ranks the first one speaks.
    first = folder / "rank0"
    place = first if first.is_dir() else folder
    try:
        now = decoder(_Now).decode(regular(place / "session.json"))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, GpuDoctorError):
        return ""
    steps = next(
        (
            f"{row.count} {words}"
            for row, words in (
                (now.steps, "steps"),
                (now.batches, "batches"),
                (now.forwards, "calls"),
            )
            if row.count
        ),
        "no step yet",
    )
    looks = {"active": "torch's profiler looks", "done": "torch's profiler has looked"}
    return ", ".join(filter(None, (steps, looks.get(now.window.state))))


def browser(environ: Mapping[str, str]) -> str | None:
    """The program that opens a report, where there is a display."""
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return shutil.which("xdg-open", path=environ.get("PATH"))
    return None


def open_with(program: str, path: Path) -> None:
    """Opens `path` in a program that lives on without us.

    Raises:
        GpuDoctorError: it cannot be started.
    """
    quiet = subprocess.DEVNULL
    try:
        subprocess.Popen(
            [program, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except OSError as error:
        raise GpuDoctorError(f"{program} cannot be started", cause=error.strerror) from error

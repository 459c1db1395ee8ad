"""The records of parked processes: one small file each, in the user's state folder.

A parked process vanishes from the driver's lists, so nothing but these files knows of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gpudoctor.fileio import replace_file
from gpudoctor.host.proc_files import read_stat, read_text
from gpudoctor.model.decoding import decoder
from gpudoctor.model.parked import Parked

PROC = Path("/proc")
# What root parks is for everybody to see, and not in the home of whoever used sudo.
SHARED = Path("/var/lib/gpudoctor")


def state_folder() -> Path:
    """Where gpudoctor keeps its own notes: the XDG state folder; /var/lib/gpudoctor for root."""
    named = os.environ.get("XDG_STATE_HOME", "")
    if named.startswith("/"):
        return Path(named) / "gpudoctor"
    if os.geteuid() == 0:
        return SHARED
    return Path.home() / ".local" / "state" / "gpudoctor"


def folders() -> tuple[Path, ...]:
    """The folders with records: ours, and the one that root writes."""
    return tuple(dict.fromkeys((state_folder() / "parked", SHARED / "parked")))


def boot_id(root: Path = PROC) -> str:
    """The kernel's name for this boot; start times of different boots cannot be compared."""
    return (read_text(root / "sys/kernel/random/boot_id") or "").strip()


def write(record: Parked, folder: Path | None = None) -> Path:
    """Writes the record at once or not at all, replacing an earlier one of the same process.

    Raises:
        OSError: the folder cannot be made or written.
    """
    place = state_folder() / "parked" if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    target = place / _name(record)
    mode = None
    if place.is_relative_to(SHARED):
        # Whatever root's umask is: this folder exists for others to read.
        for shared in (SHARED, place):
            shared.chmod(0o755)
        mode = 0o644
    replace_file(target, msgspec.json.encode(record), mode=mode, sync=True)
    return target


def forget(record: Parked, places: Iterable[Path] | None = None) -> None:
    """Removes the record wherever it is and we may."""
    for place in folders() if places is None else places:
        with contextlib.suppress(OSError):
            (place / _name(record)).unlink()


def prune(places: Iterable[Path] | None = None, root: Path = PROC) -> None:
    """Forgets the processes that are gone."""
    for record in recorded(places):
        if not lives(record, root):
            forget(record, places)


def parked(places: Iterable[Path] | None = None, root: Path = PROC) -> tuple[Parked, ...]:
    """The processes that are recorded as parked and still exist, by pid. Damaged files are passed over."""
    return tuple(one for one in recorded(places) if lives(one, root))


def recorded(places: Iterable[Path] | None = None) -> tuple[Parked, ...]:
    """All records that can be read, also those of processes that are gone."""
    found: dict[str, Parked] = {}
    for place in folders() if places is None else places:
        try:
            names = sorted(name for name in os.listdir(place) if name.endswith(".json"))  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            record = _read(place / name)
            if record is not None:
                found.setdefault(name, record)
    return tuple(sorted(found.values(), key=lambda one: one.pid))


def lives(record: Parked, root: Path = PROC) -> bool:
    """Whether the very process that was parked is there yet."""
    stat = read_stat(root, record.pid)
    if stat is None or stat.state in "ZX" or stat.start_ticks != record.start_ticks:
        return False
    return record.boot_id == boot_id(root)


def _name(record: Parked) -> str:
    return f"{record.pid}-{record.start_ticks}.json"


def _read(path: Path) -> Parked | None:
    try:
        return decoder(Parked).decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None

"""What is installed for the interpreter under test, read from its folders without running it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed distribution. `folder` is the entry of sys.path that holds it."""

    name: str
    version: str
    folder: str
    requires: tuple[str, ...] = ()
    installer: str | None = None


def normalized(name: str) -> str:
    """The name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True)
class Distributions:
    """All distributions on a search path, in its order: of two of one name the first is imported."""

    installed: tuple[Installed, ...]

    def all(self, name: str) -> tuple[Installed, ...]:
        """Every copy of the distribution."""
        wanted = normalized(name)
        return tuple(entry for entry in self.installed if entry.name == wanted)

    def get(self, name: str) -> Installed | None:
        """The copy that is imported, or None."""
        return next(iter(self.all(name)), None)


def read_distributions(search_path: Sequence[str]) -> Distributions:
    """What is installed in the folders of `search_path`."""
    found: list[Installed] = []
    seen: set[str] = set()
    for folder in search_path:
        place = str(Path(folder).resolve()) if folder else ""
        if not place or place in seen:
            continue
        seen.add(place)
        found += [
            entry for dist in distributions(path=[place]) if (entry := _installed(dist, place))
        ]
    return Distributions(tuple(found))


def _installed(dist: Distribution, folder: str) -> Installed | None:
    try:
        metadata = dist.metadata
        # What is not there may not be asked for from Python 3.12 on; some give no metadata at all.
        told = bool(metadata) and "Name" in metadata and "Version" in metadata
        name, version = (metadata["Name"], metadata["Version"]) if told else (None, None)
    except (OSError, UnicodeDecodeError):
        return None
    if not name or not version:
        return None
    installer = dist.read_text("INSTALLER")
    return Installed(
        normalized(name),
        str(version),
        folder,
        tuple(dist.requires or ()),
        installer.strip() if installer else None,
    )

"""What the screen keeps from one time to the next: theme, orders, graphs, hidden parts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs
from textual.theme import BUILTIN_THEMES

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.present import processes
from gpudoctor.tui.history import WINDOWS
from gpudoctor.tui.themes import NAMES

PARTS = ("host", "remarks", "graphs")
_FILE = "ui.json"
_VERSION = 1
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody left the screen. An empty theme is the settings' or the first one."""

    theme: str = ""
    sort: str = "memory"
    down: bool = True
    window: str = WINDOWS[0].name
    hidden: tuple[str, ...] = ()
    fleet_sort: str = "trouble"
    fleet_down: bool = True
    tree: bool = False
    columns_hidden: tuple[str, ...] = ()


_ALLOWED: dict[str, tuple[object, ...]] = {
    "theme": ("", *NAMES, *BUILTIN_THEMES),
    "sort": processes.SORT_KEYS,
    "down": (True, False),
    "window": tuple(window.name for window in WINDOWS),
    "fleet_down": (True, False),
    "tree": (True, False),
}


def place() -> Path | None:
    """The file, in the user's state folder; $GPUDOCTOR_UI_STATE names another, or is `off`."""
    named = os.environ.get("GPUDOCTOR_UI_STATE", "")
    if named == "off":
        return None
    return Path(named) if named else platformdirs.user_state_path("gpudoctor") / _FILE


def load(path: Path) -> tuple[Look, str]:
    """The look that was kept, and what is to be said of a file that cannot be used (or nothing).

    What an entry says wrongly, or what this version does not know, is left out.
    """
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return Look(), ""
    except OSError as error:
        return Look(), f"{path} cannot be read ({error.strerror}): the screen starts afresh."
    except (ValueError, RecursionError):
        return Look(), f"{path} is damaged: the screen starts afresh."
    if not isinstance(raw, dict) or raw.get("version") != _VERSION:
        return Look(), f"{path} is of another version: the screen starts afresh."
    return _taken(raw), ""


def _taken(raw: dict[str, Any]) -> Look:
    good: dict[str, Any] = {
        name: raw[name]
        for name, allowed in _ALLOWED.items()
        if name in raw
        and any(raw[name] is one or raw[name] == one for one in allowed)
        # JSON's true equals 1.
        and isinstance(raw[name], type(allowed[-1]))
    }
    if "fleet_sort" in raw and raw["fleet_sort"] != Look().fleet_sort:
        # Not at the top: the first frame needs no fleet.
        from gpudoctor.present.fleet import SORT_KEYS

        if raw["fleet_sort"] in SORT_KEYS:
            good["fleet_sort"] = raw["fleet_sort"]
    for name, known in (("hidden", PARTS), ("columns_hidden", processes.OPTIONAL)):
        named = raw.get(name)
        if isinstance(named, list):
            good[name] = tuple(one for one in known if one in named)
    return replace(Look(), **good)


def save(path: Path, look: Look) -> None:
    """Write the look for this user alone; whoever reads meanwhile sees the old one or the new one.

    Raises:
        GpuDoctorError: it cannot be written.
    """
    text = json.dumps({"version": _VERSION, **asdict(look)}, indent=1) + "\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, text.encode(), mode=0o600)
    except OSError as error:
        raise GpuDoctorError(
            f"how the screen was left cannot be kept in {path}",
            cause=error.strerror,
            hint="Set tui.remember = false in the settings if it is not to be kept.",
        ) from error

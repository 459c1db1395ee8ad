"""Runs a script plainly and under the runner, to be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUNNER = Path(__file__).parents[2] / "gpudoctor" / "runner"
_OTHERS = [
    Path.home().glob(f".pyenv/versions/{version}.*/bin/python") for version in ("3.9", "3.13")
]
# The oldest and a new one beside the one that runs the tests, where they are installed.
INTERPRETERS = [sys.executable, *(str(path) for found in _OTHERS for path in sorted(found)[:1])]
OPTIONS = {
    "wait": 2,
    "steps": 2,
    "shapes": False,
    "window": True,
    "sample": True,
    "calls": False,
    "interval": 0.005,
}


def plain(python: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments], capture_output=True, text=True, timeout=60, **options
    )


def watched(
    python: str, folder: Path, kind: str, *arguments: str, **options
) -> subprocess.CompletedProcess[str]:
    collect = json.dumps({**OPTIONS, "folder": str(folder)})
    return plain(python, str(RUNNER), collect, kind, *arguments, **options)


def session(folder: Path) -> dict:
    return json.loads((folder / "session.json").read_text())

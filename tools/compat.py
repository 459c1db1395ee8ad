"""Runs the tests that start no other programs on every Python that gpudoctor allows and finds here.

The first other Python gets the oldest releases that pyproject.toml allows, the rest those that
constraints.txt pins. torch is in none of them: what is tested is gpudoctor's own process, which never
imports it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".compat"
PYTHONS = ("3.11", "3.12", "3.13")
FROM_TESTS = (
    "hypothesis", "numpy", "prometheus-client", "psutil", "pytest", "pytest-asyncio",
    "pytest-rerunfailures", "pytest-textual-snapshot", "pytest-timeout", "pytest-xdist",
)  # fmt: skip
# The pictures are drawn by one release of Textual, the simulated library is tested with one binding, and
# what makes the documentation and checks the dashboards belongs to no user's Python.
LEFT_OUT = (
    "tests/tui/test_pictures.py",
    "tests/nvml_sim",
    "tests/docs/test_site.py",
    "tests/tools",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A Python and the releases to run it with."""

    python: str
    version: str
    oldest: bool

    @property
    def name(self) -> str:
        return f"{self.version}-{'oldest' if self.oldest else 'pinned'}"


def found(version: str) -> str | None:
    """Where a Python of this version is: on the path, or where pyenv keeps them."""
    at = shutil.which(f"python{version}")
    if at and subprocess.run([at, "-c", ""], check=False, capture_output=True).returncode == 0:
        return at
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return next((str(p) for p in sorted(kept.glob(f"{version}.*/bin/python"))), None)


def places() -> list[Place]:
    """Every other Python here than the one that runs this."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = [(found(v), v) for v in PYTHONS if v != own]
    there = [(at, version) for at, version in others if at is not None]
    return [Place(at, version, number == 0) for number, (at, version) in enumerate(there)]


def oldest() -> list[str]:
    """The lower bounds of what gpudoctor requires, as pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.sub(r">=([^,]+).*", r"==\1", wanted) for wanted in project["dependencies"]]


def run(place: Place) -> tuple[Place, int, str]:
    """The exit code of the tests there, and what they printed."""
    venv = FOLDER / place.name
    bin_ = venv / "bin"
    pins = oldest() if place.oldest else ["--constraint", str(ROOT / "constraints.txt")]
    steps = (
        [place.python, "-m", "venv", str(venv)],
        [f"{bin_}/python", "-m", "pip", "install", "--quiet", "--editable", str(ROOT), *FROM_TESTS, *pins],
        [f"{bin_}/python", "-m", "pytest", "-q", "-n", "3", "--dist", "loadfile",
         "-m", "not integration", "--timeout", "300", "--reruns", "1",
         *(f"--ignore={path}" for path in LEFT_OUT), *sys.argv[1:]],
    )  # fmt: skip
    printed = ""
    for step in steps:
        done = subprocess.run(
            step, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        printed += done.stdout
        if done.returncode:
            return place, done.returncode, printed
    return place, 0, printed


def main() -> int:
    """0 where every Python passes; what failed is printed."""
    wanted = places()
    if not wanted:
        sys.stdout.write("no other Python from 3.11 to 3.13 is here\n")
        return 0
    with ThreadPoolExecutor(len(wanted)) as pool:
        results = list(pool.map(run, wanted))
    for place, code, printed in results:
        last = printed.strip().splitlines()[-1:] or ["nothing was printed"]
        sys.stdout.write(f"Python {place.name}: {last[0].strip('= ')}\n")
        if code:
            sys.stdout.write("\n".join(printed.splitlines()[-200:]) + "\n")
    return max(code for _, code, _ in results)


if __name__ == "__main__":
    sys.exit(main())

"""Writes docs/dependencies.md: what gpudoctor brings with it, what for, and under which licence.

python -m tools.dependencies
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "dependencies.md"
WHY = {
    "bcrypt": "the passwords of the daemon's web configuration",
    "click": "the command line",
    "jinja2": "the HTML reports",
    "msgspec": "the values, and JSON in and out",
    "nvidia-ml-py": "NVIDIA's own binding of NVML",
    "platformdirs": "where settings and history lie",
    "py-spy": "samples of the Python functions of a profiled script; a program of its own",
    "pyyaml": "the daemon's web configuration",
    "rich": "tables and colours in a terminal",
    "textual": "the terminal UI",
}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HEAD = """\
# Dependencies

Made by `python -m tools.dependencies`: what is installed with gpudoctor. torch is not among it. Everything
is loaded only where it is used; `--version` and `--help` load none of it.

| package | what for | licence |
|---|---|---|
"""
_TAIL = """
`make audit` asks PyPI's advisories about what is in `.venv`, with pip-audit in an environment of its own; it
needs the network. **No release has been asked about yet**: where gpudoctor is made, the advisories could not
be reached.

`constraints.txt` holds the versions that the tests are run with. They bind the tests alone: an installation
with pip or pipx follows the lower bounds in `pyproject.toml`.
"""


def direct() -> list[str]:
    """What gpudoctor itself requires, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [_name(line) for line in project["dependencies"]]


def optional() -> dict[str, str]:
    """What an extra adds, with the extra's name; torch is the user's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].items()
    return {_name(line): extra for extra, lines in extras for line in lines if extra != "torch"}


def indirect() -> dict[str, set[str]]:
    """What those require in turn, each with those that require it."""
    first = direct()
    needed: dict[str, set[str]] = {}
    waiting = list(first)
    while waiting:
        parent = waiting.pop()
        for name in requires(parent):
            if name not in needed and name not in first:
                waiting.append(name)
            if name not in first:
                needed.setdefault(name, set()).add(parent)
    return dict(sorted(needed.items()))


def requires(package: str) -> list[str]:
    """What an installed package requires on this platform, by name."""
    return [_name(line) for line in importlib.metadata.requires(package) or () if _applies(line)]


def _name(line: str) -> str:
    found = _NAME.match(line)
    assert found is not None, line
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _applies(line: str) -> bool:
    _, _, marker = line.partition(";")
    # textual asks for extras of markdown-it-py, whose requirements then apply, too.
    if "extra" in marker:
        return "linkify" in marker and "linkify-it" in line
    return "win32" not in marker and "Windows" not in marker and "python_version <" not in marker


def licence(name: str) -> str:
    """The licence by the package's metadata."""
    meta = importlib.metadata.metadata(name)
    if meta.get("License-Expression"):
        return str(meta["License-Expression"])
    kinds = [
        line.rpartition(" :: ")[2]
        for line in meta.get_all("Classifier") or ()
        if line.startswith("License :: OSI Approved :: ")
    ]
    return ", ".join(kinds) or str(meta.get("License") or "–").splitlines()[0]


def page() -> str:
    """docs/dependencies.md."""
    rows = [f"| {name} | {WHY[name]} | {licence(name)} |" for name in direct()]
    for name, parents in indirect().items():
        rows.append(f"| {name} | needed by {', '.join(sorted(parents))} | {licence(name)} |")
    for name, extra in optional().items():
        rows.append(f"| {name} | only with `gpudoctor[{extra}]` | {licence(name)} |")
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


if __name__ == "__main__":
    PAGE.write_text(page())

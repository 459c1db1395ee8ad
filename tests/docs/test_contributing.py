"""CONTRIBUTING.md is followed to the letter, in a copy: its files are written, its commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<kind>[a-z]*)\n(?P<text>.*?)```", re.DOTALL
)
BUILT = shutil.ignore_patterns("__pycache__", "build", "__snapshots__", "golden")


@dataclass(frozen=True)
class Step:
    """A block of the text: what is written where, or what is typed and what it then says."""

    kind: str
    note: str
    text: str


def steps(title: str) -> list[Step]:
    """The blocks of a section, in their order."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [Step(it["kind"], it["note"] or "", it["text"]) for it in BLOCK.finditer(section)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The package and its tests, with commands that run the copy."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("gpudoctor", "tests", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=BUILT)
    shutil.copy(ROOT / "pyproject.toml", tree)
    (tree / "bin").mkdir()
    for name in ("gpudoctor", "pytest"):
        script = tree / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        script.chmod(0o755)
    return tree


def write(step: Step, tree: Path) -> None:
    """Do what the comment before a block says."""
    if step.note.startswith("file: "):
        target = tree / step.note.removeprefix("file: ")
        assert not target.exists()
        target.write_text(step.text)
        return
    where, _, before = step.note.removeprefix("into ").partition(" before: ")
    lines = (tree / where).read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.lstrip().startswith(before))
    indent = " " * (len(lines[at]) - len(lines[at].lstrip()))
    lines[at:at] = [indent + line if line else "" for line in step.text.splitlines()]
    (tree / where).write_text("\n".join(lines) + "\n")


def type_in(step: Step, tree: Path) -> None:
    """Run the commands of a block; each says what stands below it (… is anything)."""
    environ = {**os.environ, "PATH": f"{tree / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}
    environ["VIRTUAL_ENV"] = sys.prefix
    for typed in re.split(r"^\$ ", step.text, flags=re.MULTILINE)[1:]:
        command, *said = typed.splitlines()
        done = subprocess.run(
            ["bash", "-c", command], cwd=tree, env=environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        for line in said:
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert re.search(f"^{pattern}$", done.stdout, re.MULTILINE), (command, done.stdout)


@pytest.mark.integration
@pytest.mark.parametrize("title", ["Add a check", "Add a metric", "Add a rule"])
def test_what_the_text_says_works_as_it_is_written(copy, title):
    done = steps(title)
    assert {step.kind for step in done} == {"python", "console"}
    for step in done:
        (write if step.kind == "python" else type_in)(step, copy)


@pytest.mark.integration
def test_what_is_added_keeps_the_style_of_the_house(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    added = [step for title in ("Add a check", "Add a rule") for step in steps(title)]
    files = [step for step in added if step.note.startswith("file: gpudoctor/")]
    assert files
    for number, step in enumerate(files):
        (tmp_path / f"added_{number}.py").write_text(step.text)
    for words in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", "."]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout

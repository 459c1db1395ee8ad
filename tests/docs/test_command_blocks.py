"""Every command that README and docs show is run, on the simulated driver, and ends as it says.

A command stands in a fenced block, behind `$ `. A comment before the block may say more:
`<!-- not run: the reason -->`, `<!-- exit: 1 -->`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*?) -->\n)?```[a-z]*\n(?P<text>.*?)```", re.DOTALL)

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it."""

    page: str
    command: str
    exit_code: int


def shown() -> list[Shown]:
    found = []
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text()):
            note = block["note"] or ""
            if note.startswith("not run:"):
                continue
            code = int(note.removeprefix("exit:")) if note.startswith("exit:") else 0
            commands = [line[2:] for line in block["text"].splitlines() if line.startswith("$ ")]
            found += [Shown(str(page.relative_to(ROOT)), command, code) for command in commands]
    return found


def test_blocks_are_found():
    assert len(shown()) > 10


@pytest.mark.timeout(240)
@pytest.mark.parametrize("example", shown(), ids=lambda item: f"{item.page}: {item.command}")
def test_a_command_that_a_page_shows_works(example, nvml_sim, tmp_path):
    if example.command.split()[0] != "gpudoctor":
        pytest.skip("not a command of ours")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    env = {
        **nvml_sim.env,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", "-c", example.command],
        cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == example.exit_code, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert done.stdout


LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_to_a_file_is_broken(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target

"""The README names every command, and every page of the docs can be reached from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpudoctor.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_named_with_its_summary(command):
    assert f"{command.name.ljust(11)}  {command.summary}" in README


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_linked(page):
    assert f"docs/{page}" in README

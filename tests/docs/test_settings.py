"""docs/settings.md names every setting with its default, and every variable that is read."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gpudoctor.config import Settings, parse
from tools.manpages import FOLDER

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()
SHOWN = PAGE.split("```toml\n")[1].split("```")[0]
VARIABLE = re.compile(r"[\"'$\s](GPUDOCTOR_[A-Z_]+)[\"'\s.,=]")


def test_the_file_that_is_shown_is_one_and_says_what_holds_without_it():
    assert parse(SHOWN, where="docs/settings.md") == Settings()


def test_every_setting_is_shown():
    for group in fields(Settings):
        shown = SHOWN.split(f"[{group.name}]\n")[1].split("\n[")[0]
        names = [item.name for item in fields(getattr(Settings(), group.name))]
        assert [line.partition(" ")[0] for line in shown.strip().splitlines()] == names


def variables() -> set[str]:
    code = [path.read_text() for path in (ROOT / "gpudoctor").rglob("*.py")]
    return {name for text in code for name in VARIABLE.findall(text)} - {"GPUDOCTOR_COMPLETE"}


def test_every_variable_that_is_read_is_told_of_here_and_in_the_manual():
    manual = (FOLDER / "gpudoctor.1").read_text()
    assert "GPUDOCTOR_CONFIG" in variables()
    assert {name for name in variables() if f"`{name}`" not in PAGE} == set()
    assert {name for name in variables() if name not in manual} == set()

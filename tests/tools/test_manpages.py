"""The manual pages say what the commands say, and man can read them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from gpudoctor.cli.commands import COMMANDS
from tools.manpages import FOLDER, _text, pages

PAGES = pages()


def test_the_pages_that_are_kept_are_current():
    kept = {path.name: path.read_text() for path in FOLDER.glob("*.1")}
    assert sorted(kept) == sorted(PAGES)
    stale = [name for name, text in PAGES.items() if kept[name] != text]
    assert not stale, "run: python -m tools.manpages"


def test_every_command_has_a_page_that_the_first_one_names():
    for command in COMMANDS:
        assert f"gpudoctor-{command.name}.1" in PAGES
        assert "gpudoctor\\-" + command.name.replace("-", "\\-") + "\\fR(1)" in PAGES["gpudoctor.1"]


def test_nothing_in_a_text_becomes_a_request_or_an_escape():
    assert _text(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert _text("a\\fBb") == "a\\efBb"
    assert _text("–") == "\\[u2013]"
    assert _text("'quoted'") == "\\(aqquoted\\(aq"


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_warn_of(name):
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", str(FOLDER / name)],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    assert "gpudoctor manual" in done.stdout


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_an_option_and_its_words_are_in_what_is_shown():
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-c", str(FOLDER / "gpudoctor-pick.1")],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    shown = done.stdout
    while "\b" in shown:  # bold is struck twice
        at = shown.index("\b")
        shown = shown[: at - 1] + shown[at + 1 :]
    assert "--min-free SIZE" in shown
    assert "Free memory, such as 20GiB." in shown
    assert "gpudoctor pick -n 1 --idle -- python main.py" in shown

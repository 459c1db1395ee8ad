"""What the console does to lines that are too long."""

from __future__ import annotations

import pytest
from rich.text import Text

from gpudoctor.render.text import console


@pytest.fixture
def _narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")


@pytest.mark.usefixtures("_narrow")
def test_a_long_line_goes_on_under_its_first_word(capsys):
    console().print(Text("head\n\n   → make this line cheaper\n"))
    assert capsys.readouterr().out == "head\n\n   → make this line\n     cheaper\n\n"


@pytest.mark.usefixtures("_narrow")
def test_what_a_shell_is_to_read_is_not_broken(capsys):
    console().print(Text("  python -m pip install torch==2.13.0"), soft_wrap=True)
    assert capsys.readouterr().out == "  python -m pip install torch==2.13.0\n"

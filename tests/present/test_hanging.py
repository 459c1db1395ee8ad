"""Where long lines are wrapped, and how far what goes on stands to the right."""

from __future__ import annotations

import pytest
from rich.text import Text

from gpudoctor.present.hanging import hung


def wrapped(text, width):
    lines = [line.plain for line in hung(Text(text), width)]
    assert all(Text(line).cell_len <= width for line in lines)
    return lines


def test_a_line_that_fits_is_as_it_was():
    assert wrapped("  one  two", 10) == ["  one  two"]


def test_a_command_goes_on_under_its_own_beginning():
    assert wrapped("     77  ana  python train.py --epochs 100", 32) == [
        "     77  ana  python train.py",
        "              --epochs 100",
    ]


def test_a_sentence_goes_on_under_its_first_word():
    assert wrapped("  → Stop the load on it", 16) == ["  → Stop the", "    load on it"]


def test_a_sentence_goes_on_beside_its_label():
    assert wrapped("fix: Stop the load on it", 16) == ["fix: Stop the", "     load on it"]


def test_a_gap_far_to_the_right_is_no_column():
    line = "these have the GPU open: 40 51  (gpudoctor kill 40 51)"
    assert wrapped(line, 40) == ["these have the GPU open: 40 51", "(gpudoctor kill 40 51)"]


def test_a_word_that_fits_nowhere_is_broken():
    assert wrapped("a  " + "x" * 12, 10) == ["a", "   xxxxxxx", "   xxxxx"]


@pytest.mark.parametrize("width", [1, 2, 3, 7, 30])
def test_nothing_is_lost_and_nothing_too_wide_whatever_the_width(width):
    text = "     77  ana  python 'two words' -c " + "yes" * 20
    assert "".join(wrapped(text, width)).replace(" ", "") == text.replace(" ", "")


def test_wide_characters_count_as_two_columns():
    assert wrapped("训练" * 4, 6) == ["训练训", "练训练", "训练"]


def test_styles_go_on_in_the_next_line():
    text = Text("one ").append("two three", "bold")
    assert [str(span.style) for line in hung(text, 8) for span in line.spans] == ["bold", "bold"]

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gpudoctor.present.glyphs import ASCII, UNICODE, bar, column, fitted, speaks_unicode
from gpudoctor.present.graph import area, mean

SETS = st.sampled_from([ASCII, UNICODE])


@given(st.floats(-1, 2), st.integers(0, 60), SETS)
def test_a_bar_is_exactly_as_wide_as_its_place(ratio, width, set_):
    full, rest = bar(ratio, width, set_)
    assert len(full) + len(rest) == width


@given(st.integers(4, 60), SETS)
def test_a_little_is_never_drawn_as_nothing_and_nothing_never_as_a_little(width, set_):
    assert bar(0.0001, width, set_)[0]
    assert bar(0, width, set_)[0] == ""
    assert bar(1, width, set_)[1] == ""


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10), SETS)
def test_a_greater_value_never_makes_a_lower_column(one, other, height, set_):
    def filled(ratio):
        return sum(set_.up.index(part) for part in column(ratio, height, set_))

    low, high = sorted((one, other))
    assert filled(low) <= filled(high)


def test_an_unknown_value_leaves_its_column_empty():
    assert area([1.0, None, 1.0], 3, 2, UNICODE) == ["█ █", "█ █"]


def test_the_newest_value_stands_at_the_right_end_of_a_graph():
    assert area([0.5, 1.0], 4, 1, UNICODE) == ["  ▄█"]
    assert area([0.0, 0.5, 1.0], 2, 1, UNICODE) == ["▄█"]


def test_the_mean_leaves_out_what_is_unknown():
    assert mean([1.0, None, 2.0]) == 1.5
    assert mean([None]) is None


@given(st.text(max_size=40), st.integers(0, 50), st.booleans(), SETS)
def test_a_text_fits_its_place_exactly_even_with_wide_characters(text, width, right, set_):
    safe = "".join(ch for ch in text if ch.isprintable())
    assert cell_len(fitted(safe, width, set_, right=right)) == width


@given(st.text())
def test_the_ascii_set_writes_nothing_but_ascii(text):
    assert ASCII.text(text).isascii()


def test_latin_1_terminals_do_not_get_unicode():
    assert speaks_unicode("utf-8")
    assert not speaks_unicode("iso-8859-1")
    assert not speaks_unicode("ascii")
    assert not speaks_unicode(None)
    assert not speaks_unicode("no-such-encoding")

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor import units


@pytest.mark.parametrize(
    "shown",
    [
        units.data_size(None),
        units.data_rate(None),
        units.percent(None),
        units.watts(None),
        units.celsius(None),
        units.hertz(None),
        units.count(None),
        units.duration(None),
        units.version_pair(None),
        units.text(None),
        units.text(""),
    ],
)
def test_unknown_is_a_dash_and_never_a_number(shown):
    assert shown == "–"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (80 * 1024**3, "80.0 GiB"),
        (3e18, "2664.5 PiB"),
    ],
)
def test_memory_has_binary_units(amount, shown):
    assert units.data_size(amount) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (3e-9, "3 ns"),
        (2.1e-5, "21 µs"),
        (0.0021, "2.1 ms"),
        (0.25, "250 ms"),
        (1.5, "1.50 s"),
        (42.31, "42.3 s"),
        (90, "1m 30s"),
        (4000, "1h 6m"),
        (200_000, "2d 7h"),
        (-1.5, "-1.50 s"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds, shown):
    assert units.duration(seconds) == shown


@given(st.floats(min_value=0, max_value=1e9))
def test_every_duration_is_short(seconds):
    assert 0 < len(units.duration(seconds)) <= 10


@given(st.text())
def test_no_text_can_drive_the_terminal(raw):
    shown = units.printable(raw)
    assert "\x1b" not in shown
    assert all(letter.isprintable() for letter in shown)


def test_printable_leaves_ordinary_text_alone():
    assert units.printable("train.py --größe 3") == "train.py --größe 3"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_time_that_is_no_number_is_unknown(value):
    assert units.duration(value) == units.UNKNOWN
    assert units.age(value) == units.UNKNOWN


def test_a_temperature_is_shown_in_fahrenheit_where_that_is_wanted():
    assert units.celsius(87.4) == "87°C"
    units.show_fahrenheit(True)
    try:
        assert [units.celsius(value) for value in (0.0, 100.0, -40.0, None)] == [
            "32°F",
            "212°F",
            "-40°F",
            "–",
        ]
    finally:
        units.show_fahrenheit(False)
    assert units.celsius(0.0) == "0°C"

from __future__ import annotations

import click
import pytest

from gpudoctor.cli.options import ratio, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20GiB", 20 * 1024**3),
        ("20GB", 20 * 1000**3),
        ("20G", 20 * 1024**3),
        ("1.5 tib", int(1.5 * 1024**4)),
        ("512MiB", 512 * 1024**2),
        ("100", 100),
        ("100B", 100),
        (None, None),
    ],
)
def test_an_amount_of_memory_is_read(text, expected):
    assert size(None, None, text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1XB", "1GiBB", "1,5GiB", "9" * 400])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(click.BadParameter, match="20GiB"):
        size(None, None, text)


@pytest.mark.parametrize(
    ("text", "expected"), [("10", 0.1), ("10%", 0.1), ("0", 0.0), (None, None)]
)
def test_a_percentage_is_read_as_a_share(text, expected):
    assert ratio(None, None, text) == expected


@pytest.mark.parametrize("text", ["", "x", "101", "-1", "nan"])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(click.BadParameter, match="percentage"):
        ratio(None, None, text)

"""What --try understands."""

import pytest

from gpudoctor.bench.settings import DEFAULT, parse
from gpudoctor.errors import GpuDoctorError


def names(listed):
    return [setting.name for setting in parse(listed).settings]


def test_a_range_of_workers_is_searched_by_doubling():
    assert parse("num-workers=0..8").workers == (0, 1, 2, 4, 8)
    assert parse("num-workers=3..6").workers == (3, 4, 6)
    assert parse("num-workers=4").workers == (4,)
    assert parse("num-workers").workers == (0, 1, 2, 4, 8)


def test_the_default_is_understood_and_leaves_compilation_out():
    assert "compile" not in names(DEFAULT)
    assert parse(DEFAULT).workers == (0, 1, 2, 4, 8)
    assert names("amp, prefetch=6,compile") == ["amp", "prefetch=6", "compile"]


@pytest.mark.parametrize("word", ["ampp", "amp=3", "prefetch=x", "num-workers=8..2", "prefetch=0"])
def test_what_cannot_be_tried_is_said_with_what_can(word):
    with pytest.raises(GpuDoctorError) as caught:
        parse(word)
    assert caught.value.hint

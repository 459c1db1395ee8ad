from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.tui.steps import Steps

VALUES = st.none() | st.integers(0, 9).map(float)


def steps(*pairs):
    made = Steps()
    for at, value in pairs:
        made.add(at, value)
    return made


def test_what_stays_the_same_takes_no_room():
    made = steps(*((at, 5.0) for at in range(10_000)))
    assert len(made) == 1
    assert made.columns(100, 10, 9_999) == [5.0] * 10


def test_nothing_is_known_before_the_first_look_and_where_it_was_not_told():
    made = steps((100, 1.0), (110, None), (111, None), (120, 3.0))
    assert len(made) == 3
    assert made.columns(40, 4, 129) == [None, 1.0, None, 3.0]


def test_a_short_peak_is_seen_however_coarse_the_graph():
    assert steps((0, 1.0), (500, 9.0), (501, 1.0)).columns(1000, 10, 999)[4:7] == [1.0, 9.0, 1.0]


def test_an_empty_one_and_no_room_show_nothing():
    assert Steps().columns(60, 3, 0) == [None] * 3
    assert Steps().begun is None
    assert steps((0, 1.0)).columns(60, 0, 0) == []


def test_what_changes_at_every_look_for_a_day_stays_small_and_keeps_its_beginning_and_its_peak():
    made = steps(
        *((float(at), float(at % 7 + (90 if at == 40_000 else 0))) for at in range(86_400))
    )
    assert len(made) <= 1_024
    assert made.begun == 0.0
    shown = made.columns(86_400, 24, 86_399)
    assert max(shown) > 90.0
    assert shown[40_000 // 3_600] == max(shown)
    # The last minutes are as fine as they were seen.
    assert made.columns(60, 60, 86_399)[-7:] == [float(at % 7) for at in range(86_393, 86_400)]


@given(st.lists(VALUES, min_size=1, max_size=40), st.integers(1, 12))
def test_each_part_shows_the_highest_that_was_known_in_it(values, wanted):
    """Against the simplest way: a value for each second."""
    now = float(len(values) - 1)
    made = steps(*((float(at), value) for at, value in enumerate(values)))
    window = wanted * 3
    first = int(now // 3) - wanted + 1
    for place, shown in enumerate(made.columns(window, wanted, now)):
        begun = (first + place) * 3
        inside = [one for one in values[max(0, begun) : max(0, begun + 3)] if one is not None]
        assert shown == max(inside, default=None)

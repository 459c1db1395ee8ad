"""What the script's own containers hold, by torch's and NumPy's word."""

from __future__ import annotations

from collections import deque

import pytest

from gpudoctor.runner.held import Held

np = pytest.importorskip("numpy")
PLACE = ("/home/me/main.py", "main", 1)


def sizes(*values):
    held = Held()
    for step, value in enumerate(values, 1):
        held.measure(step, PLACE, "kept", value)
    return [one["sizes"] for one in held.as_list()]


def arrays(count):
    return [np.zeros(100, np.float32) for _ in range(count)]


def test_a_list_is_measured_by_its_entries_and_bytes():
    assert sizes(arrays(2), arrays(4)) == [[[1, 2, 800], [2, 4, 1600]]]


def test_tuples_and_dicts_in_it_are_looked_into():
    pairs = [(np.zeros(10, np.int8), "label") for _ in range(3)]
    named = {step: {"x": np.zeros(10, np.int8)} for step in range(3)}
    assert sizes(pairs, pairs) == sizes(named, named) == [[[1, 3, 30], [2, 3, 30]]]


@pytest.mark.parametrize("value", [[1.0, 2.0], ["a", "b"], "text", arrays(1), None, {}])
def test_what_holds_no_tensors_is_passed_over(value):
    assert sizes(value, value) == []


def test_a_queue_with_an_end_may_fill_up():
    assert sizes(*(deque(arrays(count), maxlen=9) for count in (2, 3))) == []


class Broken:
    __module__ = "torch"

    @property
    def nbytes(self):
        raise RuntimeError("no storage")


def test_a_tensor_without_a_size_stops_nothing():
    assert sizes([Broken(), Broken()], [Broken(), Broken()]) == []

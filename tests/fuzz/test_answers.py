"""What a process answers in which gpudoctor ran code: the process can have changed it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.model.injection import CacheReport, Visit, VisitEnd
from gpudoctor.reclaim.cache import report
from tests.fuzz.settled import fuzz, json_values, mangled

HONEST = {
    "python": "3.11.7",
    "torch": "2.7.0",
    "status": "emptied",
    "detail": None,
    "before": {0: (10, 5)},
    "after": {0: (5, 5)},
}


def read(answer: str) -> CacheReport:
    return report(Visit(7, VisitEnd.DONE, answer, 0.1, 0.0, "a thread"))


def test_the_payload_s_own_answer_is_read():
    told = read(repr(HONEST))
    assert (told.status, told.torch_version, told.devices[0].device) == ("emptied", "2.7.0", 0)


@fuzz(150)
@given(
    mangled(repr(HONEST).encode()).map(lambda data: data.decode("utf-8", "replace"))
    | json_values.map(repr)
    | st.text(max_size=30)
    | st.dictionaries(st.sampled_from([*HONEST, "error"]), json_values).map(repr)
)
def test_any_other_answer_is_read_or_called_a_failure(answer):
    assert isinstance(read(answer), CacheReport)


@pytest.mark.parametrize(
    "answer",
    ["[" * 10_000, "-" * 60_000 + "1", "{0:" * 5_000, "9" * 10_000, "\0", "(" * 150 + ")" * 150],
)
def test_an_answer_made_to_break_its_reader_is_a_failure(answer):
    assert read(answer).status == "failed"

from __future__ import annotations

import pytest

from gpudoctor.model.xids import ACTIONS, XIDS, advice, in_words


def test_every_code_has_a_meaning_and_is_listed_once():
    assert len(XIDS) > 100
    assert all(xid.meaning and xid.code == code for code, xid in XIDS.items())


def test_advice_is_given_only_where_the_catalogue_gives_it():
    assert advice(13) == "restart the application"
    assert advice(79) == "restart the machine"
    assert advice(48) is None  # a longer procedure
    assert advice(9999) is None


def test_every_advice_belongs_to_some_code():
    assert ACTIONS.keys() <= {xid.action for xid in XIDS.values()}


@pytest.mark.parametrize(
    ("code", "told", "words"),
    [
        (79, "Xid 79", "GPU has fallen off the bus"),
        (79, "", "GPU has fallen off the bus"),
        (13, "Graphics Engine Exception", "Graphics Engine Exception"),
        (13, "kernel log: Graphics Engine Exception", "kernel log: Graphics Engine Exception"),
        (31, "kernel log: pid=7", "GPU memory page fault (kernel log: pid=7)"),
        (9999, "Xid 9999", ""),
        (9999, "something new", "something new"),
    ],
)
def test_an_xid_is_told_by_its_meaning_and_what_more_was_said(code, told, words):
    assert in_words(code, told) == words

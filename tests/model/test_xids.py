from __future__ import annotations

from gpudoctor.model.xids import ACTIONS, XIDS, advice


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

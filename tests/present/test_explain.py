from __future__ import annotations

from gpudoctor.model.orphan import Verdict
from gpudoctor.present.explain import explanation
from tests.builders import process
from tests.present.test_verdicts import NOTE, judged


def shown(found, *, settled=True) -> str:
    lines = explanation(process(100), found, settled=settled)
    return "\n".join("".join(cell.text for cell in line) for line in lines)


def test_what_is_still_watched_is_neither_in_use_nor_left_over():
    text = shown(judged(Verdict.IN_USE), settled=False)
    assert "Left over?  judging: it is watched for 30 s" in text
    assert "in use" not in text


def test_a_sign_that_was_found_is_not_denied():
    text = shown(judged(Verdict.IN_USE))
    assert "in use: the signs that it is left over do not outweigh the rest" in text
    assert "nothing says" not in text


def test_without_a_sign_nothing_says_that_it_is_left_over():
    assert "nothing says that it is left over" in shown(judged(Verdict.IN_USE, reasons=(NOTE,)))


def test_a_strong_sign_needs_no_longer_watch():
    assert "Left over?  orphan: nobody is left" in shown(judged(), settled=False)

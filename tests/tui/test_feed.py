from __future__ import annotations

from gpudoctor.tui.feed import Mailbox
from tests.builders import snapshot


def test_a_slow_reader_is_told_once_and_gets_only_the_newest():
    told = []
    box = Mailbox(lambda: told.append(1))
    for moment in range(5):
        box.put(snapshot(monotonic=float(moment)))
    assert told == [1]
    assert box.take().monotonic == 4.0
    assert box.take() is None
    box.put(snapshot())
    assert told == [1, 1]

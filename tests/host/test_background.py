from __future__ import annotations

import threading

import pytest

from gpudoctor.host.background import Background


def test_the_result_is_given_and_may_be_none():
    assert Background(lambda: 7).result() == 7
    assert Background(lambda: None).result(1) is None


def test_an_error_is_raised_where_the_result_is_wanted():
    task = Background(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        task.result()


def test_one_that_does_not_return_is_left_behind():
    never = threading.Event()
    task = Background(never.wait)
    with pytest.raises(TimeoutError):
        task.result(0.05)
    never.set()
    assert task.result(5) is True

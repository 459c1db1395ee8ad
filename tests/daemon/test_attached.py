"""The feed of a UI that asks a daemon, and what it does when that daemon is gone."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gpudoctor.daemon.attached import AttachedFeed, oldest
from gpudoctor.daemon.client import NoAnswerError
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import DeviceState
from tests.builders import device, snapshot


class Daemon:
    """Stands for the client: gives what a test puts into `next`, or fails."""

    def __init__(self) -> None:
        self.next = snapshot(monotonic=1.0)
        self.gone = False
        self.path = Path("/run/made-up.sock")
        self.asked: list[tuple[float, float | None]] = []

    def snapshot(self, *, oldest_s, pace_s=None):
        self.asked.append((oldest_s, pace_s))
        if self.gone:
            raise NoAnswerError("it hangs")
        return self.next

    def sought(self):
        """What one finds who looks for a daemon."""
        try:
            return self, self.snapshot(oldest_s=8.0)
        except NoAnswerError:
            return None


class Direct:
    """Stands for the Sampler on the driver."""

    def __init__(self) -> None:
        self.readers = []
        self.running = False

    def subscribe(self, reader):
        self.readers.append(reader)

    def start(self):
        self.running = True

    def stop(self):
        self.running = False


def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def daemon():
    return Daemon()


def feed_of(daemon, open_direct, first=None, **more):
    found = (daemon, first or snapshot(monotonic=0.5))
    return AttachedFeed(open_direct, daemon.sought, found=found, interval_s=0.05, **more)


def test_each_look_of_the_daemon_is_published_once(daemon):
    feed = feed_of(daemon, Direct)
    seen = []
    feed.subscribe(lambda look: seen.append(look.monotonic))
    feed.start()
    until(lambda: len(daemon.asked) > 3)
    daemon.next = snapshot(monotonic=2.0)
    until(lambda: seen == [1.0, 2.0])
    feed.stop()
    assert feed.client is daemon
    assert daemon.asked[0] == (oldest(0.05), 0.05)


def test_one_who_has_left_is_not_called_and_one_who_fails_harms_nobody(daemon):
    feed = feed_of(daemon, Direct)
    seen, left = [], []

    def fails(look):
        raise ValueError("broken")

    feed.subscribe(fails)
    feed.subscribe(seen.append)
    feed.subscribe(left.append)()
    feed.start()
    until(lambda: seen)
    feed.stop()
    assert left == []


def test_one_answer_that_fails_is_forgiven_and_two_lead_to_the_driver(daemon):
    direct = Direct()
    feed = feed_of(daemon, lambda: direct)
    seen = []
    feed.subscribe(seen.append)
    feed.start()
    until(lambda: seen)
    daemon.gone = True
    before = len(daemon.asked)
    until(lambda: direct.running)
    assert len(daemon.asked) - before == 2
    assert feed.client is None
    direct.readers[0](snapshot(monotonic=9.0))
    assert feed.latest.monotonic == 9.0
    assert seen[-1].monotonic == 9.0
    feed.stop()
    assert not direct.running


def test_where_the_driver_does_not_answer_either_nothing_old_is_shown_as_new(daemon):
    def no_driver():
        raise GpuDoctorError("there is no driver")

    daemon.gone = True
    first = snapshot(device(0), device(1), monotonic=1.0)
    feed = feed_of(daemon, no_driver, first=first)
    feed.start()
    until(lambda: feed.latest is not first)
    feed.stop()
    assert [one.state for one in feed.latest.devices] == [DeviceState.STALE] * 2
    assert feed.latest.devices[0].stale_since == first.taken_at
    assert feed.latest.devices[0].error == "there is no driver"


def test_a_driver_that_is_opened_after_the_end_is_closed_again(daemon):
    opening, may_go_on = threading.Event(), threading.Event()
    direct = Direct()
    direct.running = True

    def slowly():
        opening.set()
        may_go_on.wait(5)
        return direct

    daemon.gone = True
    feed = feed_of(daemon, slowly)
    feed.start()
    opening.wait(5)
    feed.stop()
    may_go_on.set()
    until(lambda: not direct.running)
    assert direct.readers == []


def test_a_daemon_that_is_back_is_used_again_and_the_driver_is_let_go(daemon):
    opened = []

    def open_direct():
        opened.append(Direct())
        return opened[-1]

    feed = feed_of(daemon, open_direct, back_s=0.02)
    seen = []
    feed.subscribe(lambda look: seen.append(look.monotonic))
    feed.start()
    for turn in (1, 2):
        until(lambda: feed.client)
        daemon.gone = True
        until(lambda turn=turn: len(opened) == turn and opened[-1].running)
        assert feed.client is None
        daemon.next = snapshot(monotonic=10.0 * turn)
        daemon.gone = False
        until(lambda turn=turn: 10.0 * turn in seen)
        assert feed.client is daemon
        assert not opened[-1].running
        # Its last look, which came late, is not shown after those of the daemon.
        opened[-1].readers[0](snapshot(monotonic=5.0))
        assert seen[-1] == 10.0 * turn
    feed.stop()


def test_a_daemon_that_comes_and_goes_is_asked_ever_more_seldom(daemon):
    feed = feed_of(daemon, Direct, back_s=0.05)
    direct = []
    feed._open_direct = lambda: direct.append(time.monotonic()) or Direct()
    lasted = []
    feed.start()
    for turn in (1, 2, 3):
        daemon.gone = True
        until(lambda turn=turn: len(direct) == turn)
        daemon.gone = False
        until(lambda: feed.client)
        lasted.append(time.monotonic() - direct[-1])
    feed.stop()
    assert lasted[2] > 0.19
    assert lasted[2] > 2 * lasted[0]


def test_a_daemon_is_used_again_where_the_driver_never_answered(daemon, monkeypatch):
    monkeypatch.setattr("gpudoctor.daemon.attached._RETRY_S", 0.02)

    def no_driver():
        raise GpuDoctorError("there is no driver")

    daemon.gone = True
    feed = feed_of(daemon, no_driver, first=snapshot(device(0), monotonic=1.0))
    feed.start()
    until(lambda: feed.client is None)
    daemon.next = snapshot(device(0), monotonic=time.monotonic() + 60)
    daemon.gone = False
    until(lambda: feed.client and feed.latest.devices[0].state is DeviceState.OK)
    feed.stop()


def test_a_daemon_that_starts_after_the_front_end_is_used_from_then_on(daemon):
    direct = Direct()
    daemon.gone = True
    feed = AttachedFeed(lambda: direct, daemon.sought, interval_s=0.05, back_s=0.02)
    seen = []
    feed.subscribe(lambda look: seen.append(look.monotonic))
    feed.start()
    until(lambda: direct.running)
    assert (feed.client, feed.latest) == (None, None)
    direct.readers[0](snapshot(monotonic=5.0))
    daemon.next = snapshot(monotonic=6.0)
    daemon.gone = False
    until(lambda: seen == [5.0, 6.0])
    assert feed.client is daemon
    assert not direct.running
    feed.stop()

from __future__ import annotations

import threading
import time

from gpudoctor.model.orphan import Verdict
from gpudoctor.nvml.demo import DemoTimeline
from gpudoctor.reclaim.looking import played_look
from gpudoctor.reclaim.watch import OrphanWatch
from tests.builders import AT
from tests.sampling.scripted import until

DEMO = DemoTimeline(AT)
LEFT_OVER = 29_907


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def verdict(found, pid=LEFT_OVER):
    return next(one.verdict for one in found if one.pid == pid)


def at(watch, clock, second):
    clock.now = float(second)
    watch.see(DEMO.at(clock.now))
    return watch.look()


def test_before_the_first_snapshot_nothing_is_judged():
    assert OrphanWatch(played_look).look() == ()


def test_a_verdict_that_needs_progress_comes_only_after_the_window():
    clock = Clock()
    watch = OrphanWatch(played_look, every_s=10, window_s=30, clock=clock)
    for second in (0, 10, 20, 29):
        assert verdict(at(watch, clock, second)) is Verdict.IN_USE, second
    assert verdict(at(watch, clock, 30)) is Verdict.SUSPECT
    assert verdict(at(watch, clock, 300)) is Verdict.SUSPECT
    assert verdict(at(watch, clock, 310), pid=41_200) is Verdict.IN_USE


def test_processes_are_settled_when_they_were_watched_for_the_window():
    clock = Clock()
    watch = OrphanWatch(played_look, every_s=10, window_s=30, clock=clock)
    for second in (0, 10, 20, 29):
        at(watch, clock, second)
        assert watch.settled == frozenset(), second
    at(watch, clock, 30)
    assert {key.pid for key in watch.settled} == {one.pid for one in DEMO.at(0).processes}


def test_what_is_remembered_does_not_grow():
    clock = Clock()
    watch = OrphanWatch(played_look, every_s=10, window_s=30, clock=clock)
    for tenth in range(5_000):
        clock.now = tenth / 10
        watch.see(DEMO.at(clock.now))
        if tenth % 100 == 0:
            watch.look()
    assert len(watch._seen) <= 42
    assert len(watch._looks) <= 6


def test_it_looks_in_its_own_thread_and_goes_on_after_a_failure():
    told = threading.Event()
    failures = iter((OSError("gone"), ValueError("odd")))

    def look(snapshot):
        error = next(failures, None)
        if error is not None:
            raise error
        return played_look(snapshot)

    watch = OrphanWatch(look, begin_s=0, every_s=0.01)
    watch.subscribe(lambda found: told.set() if found else None)
    watch.start()
    watch.see(DEMO.at(0.0))
    assert told.wait(5)
    assert verdict(watch.latest) is Verdict.IN_USE
    watch.stop()
    watch._thread.join(2)
    assert not watch._thread.is_alive()


def test_a_watch_that_never_saw_anything_ends_too():
    watch = OrphanWatch(played_look)
    watch.start()
    watch.stop()
    assert until(lambda: not watch._thread.is_alive())


def test_looks_that_cost_much_are_taken_less_often():
    looks = []

    def costly(snapshot):
        looks.append(1)
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        return played_look(snapshot)

    watch = OrphanWatch(costly, begin_s=0, every_s=0.01)
    watch.start()
    watch.see(DEMO.at(0.0))
    assert until(lambda: watch.latest)
    time.sleep(0.3)
    assert len(looks) == 1
    watch.stop()

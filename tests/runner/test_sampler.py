"""Which line the in-process sampler blames, and what it leaves behind."""

from __future__ import annotations

import hashlib
import sys
import threading
import time

import pytest

from gpudoctor.runner.sampler import Sampler, waited_for_cpu

BIG = bytes(50_000)


def python_for(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def lets_go_of_the_interpreter():
    hashlib.sha256(BIG)


def weights(sampler):
    """Seconds by the innermost function of a stack."""
    seen = sampler.as_dict()
    names = [function[0] for function in seen["functions"]]
    found = {}
    for weight, _, frames in seen["stacks"]:
        name = names[frames[0][0]] if frames else ""
        found[name] = found.get(name, 0.0) + weight
    return found


def looked_at_short_stretches():
    """The weights; None where sampler or main thread often found no free core, which is a bias of its own."""
    sampler = Sampler(0.005, lambda: None)
    waited = waited_for_cpu()
    sampler.start()
    until = time.perf_counter() + 0.6
    while time.perf_counter() < until:
        python_for(0.003)
        lets_go_of_the_interpreter()
    sampler.stop()
    if waited is None or waited_for_cpu() - waited > 0.02 or sampler.samples < 80:
        return None
    return weights(sampler)


def test_a_short_stretch_of_python_is_not_blamed_on_the_call_after_it():
    seen = next(filter(None, (looked_at_short_stretches() for _ in range(5))), None)
    if seen is None:
        pytest.skip("no core was free for a moment")
    assert seen["python_for"] > 2 * seen.get("lets_go_of_the_interpreter", 0.0)


def test_no_frame_is_put_above_a_line_that_did_not_call_it():
    left, entered, done = (threading.Event() for _ in range(3))

    def first():
        entered.set()
        left.wait(60)

    def second():
        entered.set()
        done.wait(60)

    def work():
        first()
        second()

    class Interrupted(Sampler):
        """One that loses the interpreter in the middle of its first look, until the thread is elsewhere."""

        walks = 0

        def _walk(self, frame):
            self.walks += 1
            if self.walks == 1:
                entered.clear()
                left.set()
                assert entered.wait(60)
            return super()._walk(frame)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(60)
    sampler = Interrupted(0.005, lambda: None)
    sampler._main = thread.ident
    sampler._look(1.0)
    done.set()
    thread.join(60)
    (stack,) = sampler.as_dict()["stacks"]
    names = [function[0].rpartition(".")[2] for function in sampler.as_dict()["functions"]]
    seen = [names[index] for index, _ in stack[2]]
    assert sampler.walks >= 2
    assert "second" in seen
    assert "first" not in seen


def test_the_switch_interval_is_as_before_when_the_sampler_has_stopped():
    before = sys.getswitchinterval()
    sampler = Sampler(0.005, lambda: None)
    sampler.start()
    assert sys.getswitchinterval() < before
    sampler.stop()
    assert sys.getswitchinterval() == before


def test_a_switch_interval_that_the_script_chose_stays():
    before = sys.getswitchinterval()
    sampler = Sampler(0.005, lambda: None)
    sampler.start()
    try:
        sys.setswitchinterval(0.02)
        sampler.stop()
        assert sys.getswitchinterval() == 0.02
    finally:
        sys.setswitchinterval(before)


def test_a_sampler_that_only_looks_at_memory_changes_nothing():
    before = sys.getswitchinterval()
    sampler = Sampler(0.005, lambda: None)
    sampler.outside = True
    sampler.start()
    assert sys.getswitchinterval() == before
    sampler.stop()

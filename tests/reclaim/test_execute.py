from __future__ import annotations

import os
import signal
import time

from gpudoctor.model.ending import Outcome
from gpudoctor.reclaim.execute import Step, end
from tests.reclaim.children import state_of, target, until

SLEEP = "import time; print('ready'); time.sleep(60)"
DEAF = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready')
time.sleep(60)
"""
QUICK = (Step(signal.SIGINT, 0.3), Step(signal.SIGTERM, 0.3), Step(signal.SIGKILL, 5.0))


def test_a_process_that_listens_ends_by_the_first_signal(children):
    pid = children.python(SLEEP)
    (ending,) = end([target(pid)])
    assert ending.outcome is Outcome.ENDED
    assert ending.signals == ("SIGINT",)


def test_a_process_that_ignores_int_and_term_is_killed_after_both(children):
    pid = children.python(DEAF)
    (ending,) = end([target(pid)], QUICK)
    assert ending.outcome is Outcome.ENDED
    assert ending.signals == ("SIGINT", "SIGTERM", "SIGKILL")
    assert ending.seconds >= 0.6


def test_a_process_that_outlives_the_only_signal_is_told_to_have_survived(children):
    pid = children.python(DEAF)
    (ending,) = end([target(pid)], [Step(signal.SIGTERM, 0.2)])
    assert ending.outcome is Outcome.SURVIVED
    assert children.child(pid).poll() is None


def test_a_pid_with_another_start_time_gets_no_signal(children):
    pid = children.python(SLEEP)
    old = target(pid)
    (ending,) = end([target(pid, start_ticks=old.start_ticks - 1)])
    assert ending.outcome is Outcome.REUSED
    assert ending.signals == ()
    time.sleep(0.2)
    assert children.child(pid).poll() is None


def test_a_process_that_is_gone_gets_no_signal(children):
    pid = children.python(SLEEP)
    gone = target(pid)
    children.child(pid).kill()
    children.child(pid).wait()
    (ending,) = end([gone])
    assert ending.outcome is Outcome.GONE
    assert ending.signals == ()


def test_a_stopped_process_is_woken_so_that_it_can_end_in_order(children):
    marker = children.folder / "ended-in-order"
    code = f"""
import time
try:
    print('ready')
    time.sleep(60)
finally: open({str(marker)!r}, 'w').close()
"""
    pid = children.python(code)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid) == "T")
    (ending,) = end([target(pid, stopped=True)])
    assert ending.outcome is Outcome.ENDED
    assert ending.signals == ("SIGINT",)
    children.child(pid).wait(5)
    assert marker.exists()


def test_a_later_wave_gets_no_signal_when_it_follows_the_first(children):
    code = """
import subprocess, sys, time
child = subprocess.Popen(['sleep', '60'])
try: print(child.pid); time.sleep(60)
finally: child.kill(); child.wait()
"""
    launcher = children.python(code)
    rank = children.adopt(int(children.said))
    endings = end([target(rank, wave=1, only_if_left=True), target(launcher, wave=0)])
    assert [ending.pid for ending in endings] == [launcher, rank]
    assert endings[0].signals == ("SIGINT",)
    assert endings[1].outcome is Outcome.GONE
    assert endings[1].signals == ()


def test_several_processes_of_a_wave_share_the_grace(children):
    pids = [children.python(DEAF) for _ in range(4)]
    begun = time.monotonic()
    endings = end([target(pid) for pid in pids], QUICK)
    assert time.monotonic() - begun < 2.0
    assert {ending.outcome for ending in endings} == {Outcome.ENDED}

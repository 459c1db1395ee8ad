from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from gpudoctor.model.injection import VisitEnd
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import visit
from tests.reclaim.targets import ECHO, SUPPORTED, WAITS, started

# Holds the interpreter lock for two seconds, and says at the end how often it was visited.
LOCKED = """
import ctypes, sys, time
sys.visits = 0
ctypes.PyDLL(None).usleep(2_000_000)
time.sleep(0.5)
print(sys.visits)
"""


@pytest.mark.parametrize("kind", WAITS)
def test_code_runs_in_a_process_that(children, kind):
    pid = started(children, WAITS[kind])
    done = visit(entrance(pid), ECHO, timeout_s=20)
    assert done.end is VisitEnd.DONE
    assert done.answer == sys.version.split()[0]
    assert children.child(pid).poll() is None


@pytest.mark.integration
@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize("kind", ["computes", "sleeps"])
def test_code_runs_in_every_python_that_is_here(children, python, kind):
    pid = started(children, WAITS[kind], python)
    done = visit(entrance(pid), ECHO, timeout_s=20)
    assert done.end is VisitEnd.DONE
    assert done.answer is not None
    assert done.answer.startswith("3.")
    assert children.child(pid).poll() is None


def test_the_process_goes_on_with_what_it_did(children):
    code = """
import time
begun = time.monotonic()
time.sleep(1.0)
assert 1.0 <= time.monotonic() - begun < 5.0
assert input() == "hello"
print("unharmed", sorted(name for name in globals() if not name.startswith("__")))
"""
    pid = started(children, code)
    for _ in range(20):
        assert visit(entrance(pid), ECHO, timeout_s=20).end is VisitEnd.DONE
    child = children.child(pid)
    out, _ = child.communicate("hello\n", timeout=20)
    assert out == "unharmed ['begun', 'time']\n"
    assert child.returncode == 0


def test_signals_that_arrive_meanwhile_are_not_lost(children):
    code = """
import signal, time
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
signal.signal(signal.SIGALRM, lambda *_: None)
while len(seen) < 50: time.sleep(0.01)
print("seen", len(seen))
"""
    pid = started(children, code)
    way_in = entrance(pid)
    for _ in range(50):
        assert visit(way_in, ECHO, timeout_s=20).end is VisitEnd.DONE
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.005)
    assert children.child(pid).communicate(timeout=20)[0] == "seen 50\n"


def test_the_code_runs_once_although_it_is_asked_for_twice(children):
    # A call that holds the interpreter lock for long gets both a pending call and a thread.
    code = """
import sys, re
sys.visits = 0
while True: re.match(r"(a+)+$", "a" * 22 + "b")
"""
    pid = started(children, code)
    source = "def run():\n    import sys\n    sys.visits += 1\n    return str(sys.visits)\n"
    for turn in range(1, 4):
        assert visit(entrance(pid), source, timeout_s=60).answer == str(turn)


def test_a_child_that_is_forked_before_the_code_s_turn_does_not_run_it(children):
    # Between two bytecodes the call would get its turn, so sleep and fork are one C function.
    library = children.folder / "nap.so"
    text = "#include <unistd.h>\nint nap_and_fork(void) { usleep(600000); return fork(); }\n"
    compile_ = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(compile_, input=text, text=True, check=True)
    code = f"""
import ctypes, os, sys, time
sys.visits = 0
child = ctypes.PyDLL({str(library)!r}).nap_and_fork()
time.sleep(0.3)
os.write(1, b"%s %d\\n" % (b"parent" if child else b"child", sys.visits))
if child == 0: os._exit(0)
os.waitpid(child, 0)
"""
    pid = started(children, code)
    source = "def run():\n    import sys\n    sys.visits += 1\n    return ''\n"
    assert visit(entrance(pid), source, timeout_s=20).end is VisitEnd.DONE
    told = children.child(pid).communicate(timeout=20)[0].splitlines()
    assert sorted(told) == ["child 0", "parent 1"]


def test_a_request_that_never_gets_its_turn_is_withdrawn_for_good(children):
    pid = started(children, LOCKED)
    source = "def run():\n    import sys\n    sys.visits += 1\n    return ''\n"
    assert visit(entrance(pid), source, timeout_s=0.5).end is VisitEnd.CANCELLED
    assert children.child(pid).communicate(timeout=20)[0] == "0\n"


def test_what_has_begun_and_does_not_end_is_told_so(children):
    pid = started(children, WAITS["sleeps"])
    source = "def run():\n    import time\n    time.sleep(60)\n    return ''\n"
    assert visit(entrance(pid), source, timeout_s=1).end is VisitEnd.UNFINISHED
    assert children.child(pid).poll() is None


VISITOR = """
import sys
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.visitor import visit_apart
way_in = entrance(int(sys.argv[1]))
source = "def run():\\n    import sys\\n    sys.visits += 1\\n    return str(sys.visits)"
print("ready", flush=True)
while True: visit_apart(way_in, source)
"""


def test_a_target_survives_that_its_visitor_is_killed(children):
    pid = started(children, "import sys, time\nsys.visits = 0\nwhile True: time.sleep(0.01)")
    for turn in range(6):
        visitor = children.run([sys.executable, "-c", VISITOR, str(pid)])
        time.sleep(0.08 + 0.01 * turn)
        children.child(visitor).kill()
        children.child(visitor).wait()
        time.sleep(0.3)  # the helper ends its visit
    source = "def run():\n    import sys\n    return str(sys.visits)\n"
    assert int(visit(entrance(pid), source).answer or 0) > 0
    assert children.child(pid).poll() is None


def test_a_request_is_withdrawn_when_its_visitor_is_killed_before_its_turn(children):
    pid = started(children, LOCKED)
    visitor = children.run([sys.executable, "-c", VISITOR, str(pid)])
    time.sleep(0.8)
    children.child(visitor).kill()
    assert children.child(pid).communicate(timeout=20)[0] == "0\n"


def test_an_error_in_the_code_is_the_answer_and_not_the_process_s(children):
    pid = started(children, WAITS["sleeps"])
    done = visit(entrance(pid), "def run():\n    raise SystemExit('no')\n")
    assert done.answer == "{'error': 'SystemExit: no'}"
    assert children.child(pid).poll() is None

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.injection import VisitEnd
from gpudoctor.reclaim.cache import empty_cache
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import visit
from gpudoctor.reclaim.payloads import empty_cache as payload
from tests.reclaim.children import state_of, until

PYENV = Path("/root/.pyenv/versions")
PYTHONS = [
    sys.executable,
    *(str(one) for one in sorted(PYENV.glob("3.*/bin/python")) if one.parent.parent.name > "3"),
]
SUPPORTED = [
    one for one in PYTHONS if "/3.6" not in one and "/3.7" not in one and "/3.8" not in one
]

# torch.cuda as far as the payload uses it: two devices, device 1 holds the most.
TORCH = """
import sys, types
torch, cuda, memory = (types.ModuleType(n) for n in ("torch", "torch.cuda", "torch.cuda.memory"))
torch.__version__, torch.cuda, cuda.memory = "2.9.0+sim", cuda, memory
held = {0: [300, 100], 1: [900, 400]}
calls = []
cuda.is_initialized = lambda: True
cuda.device_count = lambda: 3
cuda.memory_reserved = lambda d: held.get(d, [0, 0])[0]
cuda.memory_allocated = lambda d: held.get(d, [0, 0])[1]
cuda.memory_snapshot = lambda: [{"is_expandable": EXPANDABLE}]
cuda.set_device = lambda d: calls.append(("set_device", d))
cuda.synchronize = lambda d: calls.append(("synchronize", d))
memory.get_allocator_backend = lambda: "native"
def empty_cache():
    calls.append(("empty_cache",))
    for pair in held.values(): pair[0] = pair[1]
cuda.empty_cache = empty_cache
sys.modules.update({"torch": torch, "torch.cuda": cuda})
"""
WAITS = {
    "computes": "x = 0\nwhile True: x += 1",
    "allocates": "while True: [object() for _ in range(1000)]",
    "sleeps": "import time\ntime.sleep(600)",
    "reads": "input()",
    "locks": "import threading\nlock = threading.Lock()\nlock.acquire(); lock.acquire()",
    "selects": "import select\nselect.select([], [], [])",
    "loops-events": "import asyncio\nasyncio.run(asyncio.sleep(600))",
    "joins": "import threading, time\nt = threading.Thread(target=time.sleep, args=(600,))\n"
    "t.start(); t.join()",
}
ECHO = "def run():\n    import sys\n    return sys.version.split()[0]\n"


def started(children, code: str, python: str = sys.executable) -> int:
    pid = children.python(f"print('ready')\n{code}", python=python, stdin=subprocess.PIPE)
    time.sleep(0.05)
    return pid


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
    code = """
import ctypes, sys, time
sys.visits = 0
ctypes.PyDLL(None).usleep(2_000_000)   # holds the interpreter lock
time.sleep(0.5)
print(sys.visits)
"""
    pid = started(children, code)
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
    for turn in range(12):
        visitor = children.run([sys.executable, "-c", VISITOR, str(pid)])
        time.sleep(0.08 + 0.01 * turn)
        children.child(visitor).kill()
        children.child(visitor).wait()
        time.sleep(0.3)  # the helper ends its visit
    source = "def run():\n    import sys\n    return str(sys.visits)\n"
    assert int(visit(entrance(pid), source).answer or 0) > 0
    assert children.child(pid).poll() is None


def test_a_request_is_withdrawn_when_its_visitor_is_killed_before_its_turn(children):
    code = """
import ctypes, sys, time
sys.visits = 0
ctypes.PyDLL(None).usleep(2_000_000)   # holds the interpreter lock
time.sleep(0.5)
print(sys.visits)
"""
    pid = started(children, code)
    visitor = children.run([sys.executable, "-c", VISITOR, str(pid)])
    time.sleep(0.8)
    children.child(visitor).kill()
    assert children.child(pid).communicate(timeout=20)[0] == "0\n"


def test_an_error_in_the_code_is_the_answer_and_not_the_process_s(children):
    pid = started(children, WAITS["sleeps"])
    done = visit(entrance(pid), "def run():\n    raise SystemExit('no')\n")
    assert done.answer == "{'error': 'SystemExit: no'}"
    assert children.child(pid).poll() is None


def cached(children, *, expandable=False, rest="time.sleep(600)"):
    code = TORCH.replace("EXPANDABLE", str(expandable)) + f"\nimport time\n{rest}"
    return started(children, code)


def test_the_cache_is_emptied_with_the_fullest_device_current(children):
    source = "def run():\n    import sys\n    return repr(sys.modules['__main__'].calls)\n"
    pid = cached(children)
    report = empty_cache(pid)
    assert report.status == "emptied"
    assert report.released_bytes == 700
    assert report.torch_version == "2.9.0+sim"
    assert [one.device for one in report.devices] == [0, 1]
    assert report.devices[1].allocated_after_bytes == 400
    calls = visit(entrance(pid), source).answer
    assert calls is not None
    assert calls.endswith("('set_device', 1), ('empty_cache',)]")


def test_expandable_segments_on_several_devices_are_refused_unless_forced(children):
    pid = cached(children, expandable=True)
    report = empty_cache(pid)
    assert report.status == "refused"
    assert report.released_bytes == 0
    assert empty_cache(pid, force=True).status == "emptied"


def test_a_process_without_torch_gets_none_loaded(children):
    pid = started(children, WAITS["sleeps"])
    report = empty_cache(pid)
    assert (report.status, report.torch_version) == ("nothing", None)
    source = "def run():\n    import sys\n    return str('torch' in sys.modules)\n"
    assert visit(entrance(pid), source).answer == "False"


def test_a_process_that_has_not_used_cuda_is_not_made_to(children):
    rest = "cuda.is_initialized = lambda: False\ntime.sleep(600)"
    report = empty_cache(cached(children, rest=rest))
    assert (report.status, report.detail) == ("nothing", "torch has not used CUDA there")


def test_deep_drops_the_exception_that_keeps_tensors_alive(children):
    rest = """
import sys, weakref
class Tensor: pass
def fails():
    tensor = Tensor()
    sys.alive = weakref.ref(tensor)
    raise ValueError
try: fails()
except ValueError as error: sys.last_value, sys.last_traceback = error, error.__traceback__
time.sleep(600)
"""
    pid = cached(children, rest=rest)
    source = "def run():\n    import sys\n    return str(sys.alive() is None)\n"
    assert empty_cache(pid).status == "emptied"
    assert visit(entrance(pid), source).answer == "False"
    assert empty_cache(pid, deep=True).status == "emptied"
    assert visit(entrance(pid), source).answer == "True"


def test_the_payload_is_python_3_9():
    import ast

    ast.parse(payload(force=True, deep=True), feature_version=(3, 9))


def refusal(pid: int) -> str:
    with pytest.raises(GpuDoctorError, match="cannot be entered") as caught:
        entrance(pid)
    assert caught.value.cause is not None
    return caught.value.cause


def test_a_stopped_process_is_refused(children):
    pid = started(children, WAITS["sleeps"])
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid) == "T")
    assert "stopped" in refusal(pid)


def test_a_program_that_is_no_python_is_refused(children):
    pid = children.run(["sh", "-c", "echo ready; sleep 60; true"])
    assert "no CPython" in refusal(pid)


def test_a_process_that_ignores_sigsegv_is_refused(children):
    code = "import signal, time\nsignal.signal(signal.SIGSEGV, signal.SIG_IGN)\ntime.sleep(60)"
    pid = started(children, code)
    time.sleep(0.1)
    assert "SIGSEGV" in refusal(pid)


@pytest.mark.parametrize("python", [one for one in PYTHONS if "/3.8" in one or "/3.7" in one])
def test_an_older_python_is_refused(children, python):
    assert "tested are 3.9" in refusal(started(children, WAITS["sleeps"], python))


def fake_proc(folder: Path, *, uid: int, scope: int | None, capable: bool = False) -> Path:
    for pid in ("7", "self"):
        (folder / pid).mkdir(parents=True)
        caps = f"{(1 << 19) if capable else 0:016x}"
        owner = uid if pid == "7" else os.getuid()
        text = f"Uid:\t{owner}\t{owner}\nCapEff:\t{caps}\nTracerPid:\t0\nSigIgn:\t0\n"
        (folder / pid / "status").write_text(text)
    fields = " ".join(["S", "1", "7", "7", *["0"] * 40])
    (folder / "7/stat").write_text(f"7 (python) {fields}")
    if scope is not None:
        (folder / "sys/kernel/yama").mkdir(parents=True)
        (folder / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    return folder


@pytest.mark.parametrize(
    ("scope", "capable", "words"),
    [
        (1, False, "ptrace_scope is 1: only a parent"),
        (2, False, "ptrace_scope is 2: only root"),
        (3, True, "nobody may"),
    ],
)
def test_ptrace_scope_is_read_and_named(tmp_path, scope, capable, words):
    root = fake_proc(tmp_path, uid=os.getuid(), scope=scope, capable=capable)
    with pytest.raises(GpuDoctorError) as caught:
        entrance(7, root=root)
    assert words in (caught.value.cause or "")


def test_another_user_s_process_is_refused_with_what_to_do(tmp_path):
    root = fake_proc(tmp_path, uid=54_321, scope=None)
    with pytest.raises(GpuDoctorError, match="cannot be entered") as caught:
        entrance(7, root=root)
    assert "54321" in (caught.value.cause or "")
    assert "sudo gpudoctor empty-cache 7" in (caught.value.hint or "")


def test_the_command_prints_one_object_and_exits_1_when_nothing_was_emptied(children):
    pid = started(children, WAITS["sleeps"])
    command = [sys.executable, "-m", "gpudoctor", "empty-cache", str(pid), "--yes", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["schema"] == "gpudoctor.empty-cache/1"
    assert told["status"] == "nothing"


def test_the_command_asks_before_it_enters(children):
    pid = started(children, WAITS["sleeps"])
    command = [sys.executable, "-m", "gpudoctor", "empty-cache", str(pid)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "Add --yes" in done.stderr

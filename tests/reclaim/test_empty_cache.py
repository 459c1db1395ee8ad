from __future__ import annotations

import ast
import subprocess
import sys

from gpudoctor.reclaim.cache import empty_cache
from gpudoctor.reclaim.entrance import entrance
from gpudoctor.reclaim.inject import visit
from gpudoctor.reclaim.payloads import empty_cache as payload
from tests.reclaim.targets import WAITS, started

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
    ast.parse(payload(force=True, deep=True), feature_version=(3, 9))


def test_the_command_asks_before_it_enters(children):
    pid = started(children, WAITS["sleeps"])
    command = [sys.executable, "-m", "gpudoctor", "empty-cache", str(pid)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "Add --yes" in done.stderr

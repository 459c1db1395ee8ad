"""The source that runs inside another process. It needs nothing but what that process has loaded."""

from __future__ import annotations

# Python 3.9 syntax. It never imports torch and never initialises CUDA: a process that has not done so
# has nothing cached. A new thread's current device is 0, where freeing would open a context of 500 MB
# if the process works on another one, hence set_device. See docs/reclaim.md for the hazards.
_EMPTY_CACHE = """
import sys

FORCE = {force}
DEEP = {deep}


def forget_exceptions():
    # A stored exception keeps the frames that raised it alive, and with them their tensors.
    for name in ("last_value", "last_traceback", "last_type", "last_exc"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    shells = sys.modules.get("IPython.core.interactiveshell")
    shell = getattr(getattr(shells, "InteractiveShell", None), "_instance", None)
    if shell is not None:
        if getattr(shell, "InteractiveTB", None) is not None:
            shell.InteractiveTB.tb = None
        result = getattr(shell, "last_execution_result", None)
        if result is not None:
            result.error_in_exec = None
    import gc
    gc.collect()


def held(cuda):
    found = {{}}
    for number in range(cuda.device_count()):
        reserved = cuda.memory_reserved(number)
        if reserved:
            found[number] = (reserved, cuda.memory_allocated(number))
    return found


def expandable(cuda):
    try:
        return any(segment.get("is_expandable") for segment in cuda.memory_snapshot())
    except Exception:
        return False


def backend_of(cuda):
    try:
        return str(cuda.memory.get_allocator_backend())
    except Exception:
        return None


def empty(torch, cuda, out):
    before = held(cuda)
    out["backend"] = backend_of(cuda)
    if not before:
        return "nothing", "torch has nothing reserved on any device"
    if len(before) > 1 and expandable(cuda) and not FORCE:
        out["before"] = out["after"] = before
        return "refused", "expandable segments on several devices: freeing them can break queued work"
    if DEEP:
        forget_exceptions()
    for number in before:
        if len(before) > 1:
            cuda.set_device(number)
            cuda.synchronize(number)
    cuda.set_device(max(before, key=lambda number: before[number][0]))
    cuda.empty_cache()
    after = held(cuda)
    out["before"] = before
    out["after"] = {{number: after.get(number, (0, 0)) for number in before}}
    return "emptied", None


def run():
    out = {{"python": sys.version.split()[0], "torch": None}}
    torch = sys.modules.get("torch")
    cuda = sys.modules.get("torch.cuda")
    if torch is None or cuda is None:
        status = "nothing", "torch is not loaded there"
    elif not cuda.is_initialized():
        out["torch"] = str(getattr(torch, "__version__", None))
        status = "nothing", "torch has not used CUDA there"
    else:
        out["torch"] = str(getattr(torch, "__version__", None))
        status = empty(torch, cuda, out)
    out["status"], out["detail"] = status
    return repr(out)
"""


def empty_cache(*, force: bool = False, deep: bool = False) -> str:
    """Source whose `run()` empties torch's cache and tells, as a Python literal, what it held.

    `force` empties also where several devices use expandable segments. `deep` first drops the stored
    exception of an interactive session and collects garbage, which runs the process's finalisers.
    """
    return _EMPTY_CACHE.format(force=bool(force), deep=bool(deep))

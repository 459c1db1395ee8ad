"""Times every nn.Module's forward inside the profiled window, by global hooks that live no longer."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, Dict, List, Optional

from .files import replace
from .module_names import Names, Row
from .outputs import output_bytes, tracing

_MOST_CALLS = 100_000
_clock = time.perf_counter_ns


class _Call:
    """One running call; `nested` is the time of what it calls, `hooks` that of the hooks below it."""

    __slots__ = ("begun", "entered", "hooks", "key", "nested", "row")

    def __init__(self, row: Row, key: int, entered: int) -> None:
        self.row, self.key, self.entered = row, key, entered
        self.nested = self.hooks = self.begun = 0


class _Stack:
    """The running calls of one thread."""

    __slots__ = ("calls", "thread")

    def __init__(self) -> None:
        self.calls: List[_Call] = []
        self.thread = threading.get_native_id()


class ModuleWatch:
    """`open` and `close` bracket the window, `step` is called between its steps, `write` after it."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "modules.json")
        self._handles: List[Any] = []
        self._clear()

    def _clear(self) -> None:
        self._stacks: Dict[int, _Stack] = {}
        self._names = Names()
        self._calls: List[int] = []
        self._offset_ns = 0
        self._hook_ns = self._called = 0
        self._graphs = 0
        self._why: Optional[str] = None

    def open(self) -> None:
        """Set the hooks, unless the script compiles its modules: they would be compiled in."""
        self._clear()
        module = sys.modules.get("torch.nn.modules.module")
        if module is None:
            self._why = "no module was there"
            return
        if compiled():
            self._why = "the script uses torch.compile"
            return
        self._offset_ns = time.time_ns() - _clock()
        try:
            after = module.register_module_forward_hook(self._after, always_call=True)
        except (AttributeError, TypeError):
            self._why = "this torch has no hooks that see a forward which fails"
            return
        self._handles = [after, module.register_module_forward_pre_hook(self._before)]
        # Before all others: one of them may end a step, or the window.
        module._global_forward_hooks.move_to_end(after.id, last=False)

    def step(self) -> None:
        """Between two steps no module of the main thread runs: forget what never came to its end."""
        stack = self._stacks.get(threading.get_ident())
        if stack is not None:
            del stack.calls[:]
        self._check()

    def close(self) -> None:
        """Take the hooks away; safe to call twice."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()

    def write(self) -> Dict[str, Any]:
        """Write modules.json where modules were called; what the session is to say of it."""
        if not self._names.rows:
            return {"modules": None, "modules_why": self._why}
        body = {
            "modules": [row.as_dict() for row in self._names.rows],
            "offset_ns": self._offset_ns,
            "calls": self._calls if len(self._calls) < 4 * _MOST_CALLS else [],
        }
        try:
            replace(self._path, json.dumps(body))
        except OSError as error:
            return {"modules": None, "modules_why": str(error)}
        return {
            "modules": os.path.basename(self._path),
            "modules_why": self._why,
            "hook_seconds": (self._hook_ns + self._called * torchs_part_ns()) / 1e9,
        }

    def _check(self, module: Any = None) -> None:
        # torch before 2.4 does not say that it will compile, but it wraps what it shall compile.
        if self._handles and (compiled() or type(module).__name__ == "OptimizedModule"):
            self.close()
            self._why = "the script began to use torch.compile"

    def _before(self, module: Any, args: Any) -> None:
        entered = _clock()
        # Whatever goes wrong in here must not become the script's error.
        try:
            ident = threading.get_ident()
            stack = self._stacks.get(ident)
            if stack is None:
                stack = self._stacks[ident] = _Stack()
            calls = stack.calls
            if not calls:
                self._check(module)
                if not self._handles:
                    return
            row = self._names.of(module, calls[-1].row if calls else None)
            call = _Call(row, id(module), entered)
            calls.append(call)
            call.begun = _clock()
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"

    def _after(self, module: Any, args: Any, output: Any) -> None:
        try:
            self._leave(module, output, _clock())
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"

    def _leave(self, module: Any, output: Any, ended: int) -> None:
        stack = self._stacks.get(threading.get_ident())
        if stack is None:
            return
        calls, key = stack.calls, id(module)
        at = len(calls) - 1
        while at >= 0 and calls[at].key != key:
            at -= 1
        if at < 0:  # it began before the window
            return
        call = calls[at]
        # What lies above it never came to its end: a generator that was dropped, or Ctrl-C.
        del calls[at:]
        row, seconds = call.row, ended - call.begun - call.hooks
        row.calls += 1
        row.self_ns += max(0, seconds - call.nested)
        if not any(outer.row is row for outer in calls):
            row.total_ns += seconds
        if output is not None:
            row.output_bytes += output_bytes(output)
        if len(self._calls) < 4 * _MOST_CALLS:
            self._calls.extend((row.number, stack.thread, call.begun, ended))
        if not calls and not tracing():
            self._names.weigh(module, row)
        spent = call.begun - call.entered + _clock() - ended
        self._hook_ns += spent
        self._called += 1
        if calls:
            calls[-1].nested += seconds
            calls[-1].hooks += call.hooks + spent


def compiled() -> bool:
    """Whether the script has called torch.compile, or has had something compiled."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    if any(one is not None for one in getattr(frames, "cached_backends", {}).values()):
        return True
    utils = sys.modules.get("torch._dynamo.utils")
    return bool(getattr(utils, "counters", {}).get("frames"))


def torchs_part_ns() -> float:
    """What torch itself takes to call the hooks on one module, by trial on an empty one."""
    module = sys.modules["torch.nn.modules.module"]
    if module._global_forward_hooks or module._global_forward_pre_hooks:
        return 0.0  # the script's own hooks are not to see the trial
    trial = ModuleWatch("")
    empty = sys.modules["torch.nn"].Identity()
    plain = _fastest_ns(empty)
    trial.open()
    try:
        hooked = _fastest_ns(empty)
    finally:
        trial.close()
    return max(0.0, hooked - plain - trial._hook_ns / max(1, trial._called))


def _fastest_ns(empty: Any) -> float:
    rounds = []
    for _ in range(8):
        begun = _clock()
        for _ in range(10):
            empty(None)
        rounds.append((_clock() - begun) / 10)
    return min(rounds)

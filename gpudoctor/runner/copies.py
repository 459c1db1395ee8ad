"""Sees, in the profiled window, which lines copy the same bytes from device to device in step after step."""

from __future__ import annotations

import functools
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Tuple

from .code_paths import user_line
from .modules import compiled
from .outputs import tracing

_METHODS = ("to", "cuda", "cpu", "copy_")
# The bytes of so many steps must be the same before a line is said to repeat itself.
LEAST_STEPS = 3
_MOST_COPIES = 10_000
_MOST_LINES = 50
_clock = time.perf_counter
Place = Tuple[Optional[Tuple[str, int]], str, str]
Identity = Tuple[Place, int, int, int, int]


class _Copied:
    """One piece of memory that one line copies; `steps` are those in which it did."""

    __slots__ = ("calls", "last_step", "seconds", "steps")

    def __init__(self) -> None:
        self.calls = self.steps = 0
        self.last_step = -1
        self.seconds = 0.0


class _Method:
    """Stands in torch.Tensor for one of its methods. The class itself, subclasses and torch's own overrides
    are given the method that was there, so that a `__torch_function__` still knows it."""

    def __init__(self, plain: Any, copy: Any, kinds: Tuple[Any, ...]) -> None:
        self.plain, self._copy, self._kinds = plain, copy, kinds

    def __get__(self, tensor: Any, kind: Any = None) -> Any:
        plain = self.plain.__get__(tensor, kind)
        if type(tensor) not in self._kinds:
            return plain
        return functools.partial(self._copy, plain, tensor)


class CopyWatch:
    """`open` and `close` bracket the window, `step` is called between its steps, `write` after it. A torch
    before 2.1 is left alone, and so is a script that uses torch.compile."""

    def __init__(self) -> None:
        self._methods: Dict[str, _Method] = {}
        self._kinds: Tuple[Any, ...] = ()
        self._clear()

    def _clear(self) -> None:
        self._seen: Dict[Identity, _Copied] = {}
        # A weak reference keeps no bytes alive, but the address of a storage from being given to another.
        self._weak: Dict[int, Any] = {}
        self._step = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Put ourselves in the place of the methods."""
        self._clear()
        torch = sys.modules["torch"]
        storage = getattr(torch, "UntypedStorage", None)
        if compiled() or not hasattr(storage, "resizable") or not self._ask_compiler():
            return
        self._kinds = kinds = (torch.Tensor, torch.nn.Parameter)
        for name in _METHODS:
            self._methods[name] = _Method(getattr(torch.Tensor, name), self._call, kinds)
            setattr(torch.Tensor, name, self._methods[name])

    def step(self) -> None:
        """A step of the window has ended."""
        self._step += 1

    def close(self) -> None:
        """Give torch.Tensor its own methods back; safe to call twice."""
        self.step_aside()
        weak, self._weak = self._weak, {}
        for address, storage in weak.items():
            storage._free_weak_ref(address)
        callbacks = getattr(_compiler(), "start_callbacks", [])
        if self.step_aside in callbacks:
            callbacks.remove(self.step_aside)

    def _ask_compiler(self) -> bool:
        """Whether torch.compile, which would compile our methods in, says so before it begins."""
        if "torch._dynamo" not in sys.modules:
            return True
        handler = _compiler()
        if handler is None:
            return False
        handler.register_start_callback(self.step_aside)
        return True

    def step_aside(self, _why: Any = None) -> None:
        """Watch no more, at once: the script is about to compile."""
        methods, self._methods = self._methods, {}
        if not methods:
            return
        tensor = sys.modules["torch"].Tensor
        for name, method in methods.items():
            # Where somebody has put another method over ours, that one stays.
            if vars(tensor).get(name) is method:
                delattr(tensor, name)
                if getattr(tensor, name) is not method.plain:
                    setattr(tensor, name, method.plain)

    def write(self) -> Dict[str, Any]:
        """What the session is to say: the lines that repeat themselves, most bytes first."""
        lines: Dict[Place, List[float]] = {}
        for (place, _, _, _, size), copied in self._seen.items():
            if copied.steps >= LEAST_STEPS and place[0] is not None:
                line = lines.setdefault(place, [0, 0, 0, 0.0])
                line[0] = max(line[0], copied.steps)
                line[1] += 1
                line[2] += size * copied.calls
                line[3] += copied.seconds
        self._clear()
        best = sorted(lines.items(), key=lambda item: -item[1][2])[:_MOST_LINES]
        rows = [
            {
                "site": list(place[0] or ()),
                "source": place[1],
                "target": place[2],
                "steps": line[0],
                "tensors": line[1],
                "bytes": line[2],
                "seconds": line[3],
            }
            for place, line in best
        ]
        return {"copies": rows}

    def _call(self, plain: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        begun = _clock()
        result = plain(*args, **kwargs)
        seconds = _clock() - begun
        # Whatever goes wrong in here must not become the script's error.
        try:
            if result is not tensor:
                self._copied(tensor, result, seconds)
            elif plain.__name__ == "copy_":
                self._copied(args[0] if args else kwargs["other"], tensor, seconds)
        except Exception:
            pass
        return result

    def _copied(self, source: Any, target: Any, seconds: float) -> None:
        torch = sys.modules["torch"]
        plainly = type(source) in self._kinds and not torch._C._len_torch_function_stack()
        if plainly and source.device == target.device:
            return
        # A method that the script took out of the window with it still comes here.
        if not self._methods or torch._C._len_torch_dispatch_stack() or tracing():
            return
        # Nor may a mode, such as `with torch.device(…)`, see what is asked here.
        with torch._C.DisableTorchFunction():
            devices = str(source.device), str(target.device)
            if devices[0] == devices[1]:
                return
            storage = source.untyped_storage()
            if _written_elsewhere(storage):
                return
            size = source.numel() * source.element_size()
            key = (source.data_ptr(), source._version, size)
        self._add(storage, (user_line(3), *devices), key, seconds)

    def _add(self, storage: Any, place: Place, key: Tuple[int, int, int], seconds: float) -> None:
        with self._lock:
            identity = (place, storage._cdata, *key)
            copied = self._seen.get(identity)
            if copied is None:
                if len(self._seen) >= _MOST_COPIES:
                    return
                if storage._cdata not in self._weak:
                    self._weak[storage._weak_ref()] = type(storage)
                copied = self._seen[identity] = _Copied()
            copied.calls += 1
            copied.seconds += seconds
            if copied.last_step != self._step:
                copied.last_step = self._step
                copied.steps += 1


def _compiler() -> Any:
    """Who calls back before something is compiled; None before torch 2.3, or where nothing was."""
    return getattr(sys.modules.get("torch._dynamo.callback"), "callback_handler", None)


def _written_elsewhere(storage: Any) -> bool:
    """Whether others than torch may write to it, which no version counts: NumPy, a file, a process."""
    if storage.device.type == "cpu" and storage.is_shared():
        return True
    return not storage.resizable()

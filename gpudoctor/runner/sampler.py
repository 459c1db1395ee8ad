"""Looks at the main thread's Python stack every few milliseconds, from a thread of its own."""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from types import CodeType, FrameType
from typing import Any, Callable, Dict, List, Optional, Tuple

from .code_paths import is_runner, is_user

_MOST_STACKS = 20_000
_DEEPEST = 200
_WITHOUT_STACKS = 0.1
_TRIES = 3
# With Python's own 5 ms a short stretch of Python is over before this thread gets the interpreter, and
# the next call into C, which lets go of it, would be blamed for it.
_SWITCH_S = 0.0005
# The import system puts several frames between two modules, which say nothing.
_IMPORT = "<frozen importlib"
# What lies outside of these functions of the runner is not the script's.
_ROOTS = ("main", "work")
Key = Tuple[bool, Tuple[Tuple[int, int], ...]]


class Sampler:
    """Weights, in seconds, of the stacks seen; each sample counts for the time since the one before."""

    def __init__(self, interval: float, every: Callable[[], None]) -> None:
        self.interval = interval
        self.samples = 0
        # Set while the runner itself holds up the script, so that no line of the script is blamed.
        self.paused = False
        # Set where somebody else looks at the stacks: then only memory is looked at here.
        self.outside = False
        # Set once the first step has ended: what is seen from then on is the loop, not the start.
        self.in_loop = False
        self.memory: List[Tuple[float, int]] = []
        self._every = every
        self._main = threading.main_thread().ident or 0
        self._weights: Dict[Key, float] = {}
        self._codes: Dict[int, CodeType] = {}
        self._stop = True
        self._switch_before: Optional[float] = None
        self._wake = _thread.allocate_lock()
        self._gone = _thread.allocate_lock()
        self._next_memory = 0.0
        self._memory_period = 0.25

    def start(self) -> None:
        """Begin. The thread is not one of `threading`'s, so that the script does not count it."""
        self._stop = False
        self._ask_sooner()
        self._wake.acquire()
        self._gone.acquire()
        _thread.start_new_thread(self._loop, ())

    def stop(self) -> None:
        """End the thread and wait for it; does nothing where none runs."""
        if self._stop:
            return
        self._stop = True
        self._wake.release()
        self._gone.acquire(True, 2.0)
        if self._switch_before is not None and _is_ours(sys.getswitchinterval()):
            sys.setswitchinterval(self._switch_before)

    def _ask_sooner(self) -> None:
        before = sys.getswitchinterval()
        if not self.outside and before > _SWITCH_S:
            self._switch_before = before
            sys.setswitchinterval(_SWITCH_S)

    def _loop(self) -> None:
        try:
            before = time.perf_counter()
            while not self._wake.acquire(True, self._pause()) and not self._stop:
                now = time.perf_counter()
                self._look(now - before)
                before = now
                if now >= self._next_memory:
                    self._see_memory(now)
                self._every()
        finally:
            self._gone.release()

    def _pause(self) -> float:
        return max(self.interval, _WITHOUT_STACKS) if self.outside else self.interval

    def _look(self, weight: float) -> None:
        if self.paused or self.outside:
            return
        stack = self._stack()
        key = (self.in_loop, tuple(stack))
        if key in self._weights or len(self._weights) < _MOST_STACKS:
            self._weights[key] = self._weights.get(key, 0.0) + weight
        self.samples += 1

    def _stack(self) -> List[Tuple[int, int]]:
        """The main thread's stack; anew where that thread went on meanwhile, so that no frame stands above a
        line which did not call it."""
        for _ in range(_TRIES):
            frame = sys._current_frames().get(self._main)
            at = -1 if frame is None else frame.f_lasti
            stack = self._walk(frame)
            now = sys._current_frames().get(self._main)
            if now is frame and (now is None or now.f_lasti == at):
                break
        return stack

    def _walk(self, frame: Optional[FrameType]) -> List[Tuple[int, int]]:
        stack: List[Tuple[int, int]] = []
        last = ""
        while frame is not None and len(stack) < _DEEPEST:
            code = frame.f_code
            file = code.co_filename
            if is_runner(file):
                if code.co_name in _ROOTS:
                    break
            elif not (file.startswith(_IMPORT) and last.startswith(_IMPORT)):
                self._codes.setdefault(id(code), code)
                stack.append((id(code), frame.f_lineno or 0))
            last = file
            frame = frame.f_back
        return stack

    def _see_memory(self, now: float) -> None:
        self.memory.append((now, resident_bytes()))
        self._next_memory = now + self._memory_period
        if len(self.memory) >= 2_000:
            del self.memory[::2]
            self._memory_period *= 2

    def as_dict(self, most: Optional[int] = None) -> Dict[str, Any]:
        """The stacks (the `most` weighty ones), leaf first, as indices into a table of functions. Callable
        from any thread."""
        functions: List[List[Any]] = []
        index: Dict[int, int] = {}
        stacks = []
        seen = list(self._weights.items())
        if most is not None and len(seen) > most:
            seen = sorted(seen, key=lambda item: -item[1])[:most]
        for (in_loop, key), weight in seen:
            frames = []
            for code_id, line in key:
                if code_id not in index:
                    code = self._codes[code_id]
                    index[code_id] = len(functions)
                    name = getattr(code, "co_qualname", code.co_name)
                    functions.append(
                        [name, code.co_filename, code.co_firstlineno, is_user(code.co_filename)]
                    )
                frames.append([index[code_id], line])
            stacks.append([round(weight, 6), in_loop, frames])
        return {
            "interval_seconds": self.interval,
            "samples": self.samples,
            "functions": functions,
            "stacks": stacks,
        }


def _is_ours(seconds: float) -> bool:
    # Python keeps whole microseconds of it.
    return abs(seconds - _SWITCH_S) < 2e-6


def waited_for_cpu() -> Optional[float]:
    """Seconds for which the main thread was ready to run but had no CPU; None where the kernel does
    not say. Callable from any thread."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def resident_bytes() -> int:
    """Resident memory of this process in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0

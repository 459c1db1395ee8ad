"""Steps of a script that has neither optimizer nor DataLoader: the outermost calls of its modules."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any, Callable, List, Optional

_CALL = "_call_impl"


class ForwardWatch:
    """Global hooks of torch.nn, which cost every module some microseconds: set late, and taken away as
    soon as the window is done or an optimizer steps."""

    def __init__(self, on_call: Callable[[], None]) -> None:
        self._on_call = on_call
        self._handles: List[Any] = []
        self._depth = 0
        self.used = False

    def install(self) -> None:
        """Set the hooks, once; callable from any thread. Does nothing where torch has none."""
        module = sys.modules.get("torch.nn.modules.module")
        hook = getattr(module, "register_module_forward_hook", None)
        if self.used or module is None or hook is None:
            return
        self.used = True
        try:
            after = hook(self._after, always_call=True)
        except TypeError:
            # Before torch 2.1 a forward that fails is not told, so that only the stack knows the depth.
            self._handles = [hook(self._after)]
            return
        self._handles = [after, module.register_module_forward_pre_hook(self._before)]

    def give_up(self) -> None:
        """Take the hooks away, and never set them."""
        self.used = True
        self.remove()

    def remove(self) -> None:
        """Take the hooks away; safe to call twice."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()

    def _before(self, module: Any, args: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self._depth += 1

    def _after(self, module: Any, args: Any, output: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth = max(0, self._depth - 1)
        if sys.exc_info()[0] is not None:
            # The forward failed, and torch goes through its hooks: none may be set or taken away now.
            return
        # The hooks may have been set in the middle of a call: only the stack knows what is outermost.
        if self._depth == 0 and not _inside_another(sys._getframe(1)):
            self._on_call()


def _inside_another(frame: Optional[FrameType]) -> bool:
    calls = 0
    while frame is not None and calls < 2:
        calls += frame.f_code.co_name == _CALL
        frame = frame.f_back
    return calls > 1

"""How much GPU memory torch's allocator has given out, at the ends of a few steps."""

from __future__ import annotations

import sys
from typing import Any, Dict, List

_MOST_DEVICES = 16


class Allocated:
    """Bytes for each GPU after steps 1, 2, 4, 8, …: [step, bytes]. The allocator's own count, on the CPU:
    no GPU is asked, or waited for."""

    def __init__(self) -> None:
        self.seen: Dict[int, List[List[int]]] = {}
        self._next = 1

    def after_step(self, count: int) -> None:
        """A step has ended; does nothing where the script has not begun to use CUDA."""
        if count < self._next:
            return
        self._next = count * 2
        cuda = getattr(sys.modules.get("torch"), "cuda", None)
        try:
            if cuda is not None and cuda.is_initialized():
                self._measure(count, cuda)
        except Exception:  # a report is not worth a script's end
            return

    def _measure(self, count: int, cuda: Any) -> None:
        for index in range(min(cuda.device_count(), _MOST_DEVICES)):
            size = cuda.memory_allocated(index)
            if size or index in self.seen:
                self.seen.setdefault(index, []).append([count, int(size)])

    def as_list(self) -> List[Dict[str, Any]]:
        """What was measured, one entry for each GPU with memory."""
        return [{"index": index, "sizes": sizes} for index, sizes in list(self.seen.items())]

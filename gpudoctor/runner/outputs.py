"""How many bytes of tensors a module returned, without a trace of the question in the script's torch."""

from __future__ import annotations

import sys
from typing import Any

_DEEPEST = 4
_MOST = 64


def tracing() -> bool:
    """Whether torch.jit traces just now: a tensor's numel() would become an operator of the trace."""
    return sys.modules["torch"]._C._get_tracing_state() is not None


def output_bytes(output: Any) -> int:
    """The tensors in `output`, also those in tuples, lists and dicts; 0 where they cannot be asked."""
    torch = sys.modules["torch"]
    try:
        if tracing():
            return 0
        if type(output) is torch.Tensor and torch._C._len_torch_function_stack() == 0:
            return int(output.numel() * output.element_size())
        # Nor may a subclass, or a mode such as `with torch.device(…)`, see the call.
        with torch._C.DisableTorchFunction():
            return _sum(output, torch.Tensor, 0)
    except Exception:
        return 0


def _sum(value: Any, kind: Any, depth: int) -> int:
    if isinstance(value, kind):
        return int(value.numel() * value.element_size())
    if depth >= _DEEPEST:
        return 0
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return sum(_sum(one, kind, depth + 1) for one in value[:_MOST])
    return 0

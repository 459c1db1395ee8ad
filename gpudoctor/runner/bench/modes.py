"""The modes of cuDNN and of torch that are compared, as they are set before the first operator."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import torch

# torch's own words; what precedes them is the operator.
_MARK = " does not have a deterministic implementation"


def _benchmark() -> None:
    torch.backends.cudnn.benchmark = True


def _benchmark_limit() -> None:
    torch.backends.cudnn.benchmark = True
    # 0 is: try every algorithm that cuDNN has, instead of the first ten.
    torch.backends.cudnn.benchmark_limit = 0


def _cudnn_deterministic() -> None:
    torch.backends.cudnn.deterministic = True


def _deterministic() -> None:
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def _tf32(on: bool) -> Callable[[], None]:
    def apply() -> None:
        torch.backends.cudnn.allow_tf32 = on
        torch.backends.cuda.matmul.allow_tf32 = on

    return apply


MODES: Dict[str, Callable[[], None]] = {
    "default": lambda: None,
    "benchmark": _benchmark,
    "benchmark_limit": _benchmark_limit,
    "deterministic": _cudnn_deterministic,
    "use_deterministic_algorithms": _deterministic,
    "tf32": _tf32(True),
    "no_tf32": _tf32(False),
}


def operators(warned: List[Any]) -> List[str]:
    """The operators without a deterministic version, from the warnings that torch gave."""
    found: Dict[str, None] = {}
    for warning in warned:
        name, mark, _ = str(warning.message).partition(_MARK)
        if mark:
            found[name.rpartition("\n")[2].strip()] = None
    return list(found)

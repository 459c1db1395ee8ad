"""Makes the script's optimizers fused ones."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Iterator

from ..code_paths import user_line
from .findings import Findings


def apply(torch: Any, findings: Findings) -> None:
    """Every optimizer of torch's own that knows `fused` is made with fused=True."""
    inside = [0]
    for kind in list(vars(torch.optim).values()):
        if not isinstance(kind, type) or not issubclass(kind, torch.optim.Optimizer):
            continue
        if "fused" in inspect.signature(kind).parameters:
            _wrap(kind, inside, findings)


def _wrap(kind: Any, inside: Any, findings: Findings) -> None:
    plain = kind.__init__
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        # AdamW calls Adam's: only the outermost call is the script's.
        if inside[0]:
            plain(optimizer, *args, **kwargs)
            return
        bound = signature.bind(optimizer, *args, **kwargs)
        if isinstance(bound.arguments.get("params"), Iterator):
            bound.arguments["params"] = list(bound.arguments["params"])
        was = bound.arguments.get("fused")
        inside[0] += 1
        try:
            if was or not _made_fused(kind, plain, bound, findings):
                plain(*bound.args, **bound.kwargs)
        finally:
            inside[0] -= 1

    kind.__init__ = __init__


def _made_fused(kind: Any, plain: Any, bound: Any, findings: Findings) -> bool:
    """Whether it could be made so: an older torch has fused ones for CUDA only."""
    was = bound.arguments.get("fused")
    changed = {**bound.arguments, "fused": True}
    changed.pop("foreach", None)
    other = inspect.BoundArguments(bound.signature, changed)
    try:
        plain(*other.args, **other.kwargs)
    except RuntimeError as error:
        findings.refuse(f"{kind.__name__}: {error}")
        return False
    findings.change(f"{kind.__name__}(fused)", user_line(), was)
    return True

"""Changes how the script's outermost module is called: memory layout, autocast, compilation."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Set

from ..code_paths import user_line
from .counter import Counter
from .findings import Findings

# (module, args) before the outermost module is called; the args to call it with.
Before = Callable[[Any, Any], Any]


def _watch(torch: Any, before: Before) -> Callable[[], None]:
    """`before` is called for outermost calls of modules in training; the answer undoes the patch."""
    kind = torch.nn.Module
    plain = kind.__call__
    local = threading.local()

    def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        if getattr(local, "inside", False) or not module.training or not torch.is_grad_enabled():
            return plain(module, *args, **kwargs)
        args = before(module, args)
        local.inside = True
        try:
            return plain(module, *args, **kwargs)
        finally:
            local.inside = False

    kind.__call__ = __call__

    def undo() -> None:
        kind.__call__ = plain

    return undo


def _is_loss(module: Any) -> bool:
    return next(module.parameters(), None) is None


def _channels_last(torch: Any, _counter: Counter, findings: Findings) -> None:
    converted: Set[int] = set()

    def before(module: Any, args: Any) -> Any:
        if _is_loss(module):
            return args
        if id(module) not in converted:
            converted.add(id(module))
            if any(parameter.dim() == 4 for parameter in module.parameters()):
                module.to(memory_format=torch.channels_last)
                which = (str(n) for n, one in enumerate(args) if _is_picture(torch, one))
                findings.change(f"memory_format({','.join(which)})", user_line(3), "contiguous")
            else:
                findings.refuse("the model has no two-dimensional convolution to lay out anew")
        return tuple(_laid_out(torch, one) for one in args)

    _watch(torch, before)


def _laid_out(torch: Any, value: Any) -> Any:
    if _is_picture(torch, value):
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _is_picture(torch: Any, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() == 4


def _amp(torch: Any, counter: Counter, findings: Findings) -> None:
    entered: Dict[str, Any] = {}

    def before(module: Any, args: Any) -> Any:
        if entered or _is_loss(module):
            return args
        device = next(module.parameters()).device.type
        if torch.is_autocast_enabled() or (device == "cpu" and torch.is_autocast_cpu_enabled()):
            findings.refuse("the script uses autocast itself")
            return args
        half = torch.bfloat16
        if device == "cuda" and not torch.cuda.is_bf16_supported():
            findings.refuse(
                "this GPU has no bfloat16, and float16 needs a GradScaler in the script"
            )
            return args
        findings.change(f"autocast({device})", user_line(3), False)
        entered["now"] = torch.autocast(device, half)
        entered["now"].__enter__()
        return args

    def leave() -> None:
        # The loss belongs to the forward pass, the backward pass does not.
        context = entered.pop("now", None)
        if context is not None:
            context.__exit__(None, None, None)

    _watch(torch, before)
    counter.on_backward.append(leave)


def _compile(torch: Any, _counter: Counter, findings: Findings) -> None:
    if not hasattr(torch.nn.Module, "compile"):
        findings.refuse(f"torch {torch.__version__} has no Module.compile (2.2 is needed)")
        return

    def before(module: Any, args: Any) -> Any:
        if not _is_loss(module):
            # The compiler would trace through our patch, so it must be gone before.
            undo()
            module.compile()
            findings.change("compile", user_line(3), False)
        return args

    undo = _watch(torch, before)


SETTINGS: Dict[str, Callable[[Any, Counter, Findings], None]] = {
    "channels_last": _channels_last,
    "amp": _amp,
    "compile": _compile,
}

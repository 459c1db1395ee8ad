"""One setting changed in the user's script, by hooks on torch alone."""

from __future__ import annotations

import warnings
from typing import Any, Callable, Dict, Tuple

from ..code_paths import user_line
from .counter import Counter
from .findings import Findings

_MARK = " does not have a deterministic implementation"


def apply(name: str, value: Any, torch: Any, counter: Counter, findings: Findings) -> None:
    """Change `name` to `value`, now that the script has imported torch."""
    from . import change_loader, change_model, change_optimizer

    if name in change_loader.SETTINGS:
        change_loader.apply(name, value, torch, counter, findings)
    elif name == "fused":
        change_optimizer.apply(torch, findings)
    elif name in change_model.SETTINGS:
        change_model.SETTINGS[name](torch, counter, findings)
    elif name == "observe":
        change_loader.observe(counter, findings)
    else:
        _SWITCHES[name](torch, counter, findings)


def _backend(switches: Dict[str, Tuple[Any, str, bool]], counter: Counter, f: Findings) -> None:
    """Set switches now, and again before it counts, should the script have set them otherwise."""
    for text, (holder, attribute, value) in switches.items():
        f.change(text, None, getattr(holder, attribute))
        setattr(holder, attribute, value)

    def again() -> None:
        for text, (holder, attribute, value) in switches.items():
            try:
                if getattr(holder, attribute) != value:
                    setattr(holder, attribute, value)
                    f.refuse(f"the script sets {text} itself; it was set back after step 1")
            except RuntimeError as error:
                # torch refuses the older names of these switches once a script has used the newer.
                f.refuse(f"{text}: {error}")

    counter.on_first_step.append(again)


def _cudnn_benchmark(torch: Any, counter: Counter, findings: Findings) -> None:
    cudnn = torch.backends.cudnn
    _backend({"torch.backends.cudnn.benchmark": (cudnn, "benchmark", True)}, counter, findings)


def _tf32(torch: Any, counter: Counter, findings: Findings) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    switches = {
        "torch.backends.cuda.matmul.allow_tf32": (matmul, "allow_tf32", True),
        "torch.backends.cudnn.allow_tf32": (cudnn, "allow_tf32", True),
    }
    _backend(switches, counter, findings)


def _deterministic(torch: Any, counter: Counter, findings: Findings) -> None:
    was = torch.are_deterministic_algorithms_enabled()
    findings.change("torch.use_deterministic_algorithms", None, was)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    shown = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        name, mark, _ = str(message).partition(_MARK)
        if not mark:
            shown(message, category, filename, lineno, *rest)
            return
        findings.operator(name.rpartition("\n")[2].strip(), user_line())

    warnings.showwarning = show  # type: ignore[assignment]
    warnings.filterwarnings("always", message=f".*{_MARK.strip()}")

    def listen_again() -> None:
        # The script may have put filters of its own in front.
        warnings.filterwarnings("always", message=f".*{_MARK.strip()}")

    def listen_no_more() -> None:
        warnings.filterwarnings("ignore", message=f".*{_MARK.strip()}")

    counter.on_first_step.append(listen_again)
    counter.on_measuring.append(listen_no_more)


_SWITCHES: Dict[str, Callable[[Any, Counter, Findings], None]] = {
    "cudnn_benchmark": _cudnn_benchmark,
    "tf32": _tf32,
    "deterministic": _deterministic,
}

"""Changes what the script hands to `DataLoader`."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Dict, List

from ..code_paths import user_line
from .counter import Counter
from .findings import Findings

SETTINGS = ("num_workers", "pin_memory", "prefetch_factor", "persistent_workers")
# Without workers DataLoader refuses these.
_NEED_WORKERS = ("prefetch_factor", "persistent_workers", "timeout", "multiprocessing_context")
Change = Callable[[Dict[str, Any], Any], None]


def apply(name: str, value: Any, torch: Any, counter: Counter, findings: Findings) -> None:
    """Every DataLoader that the script makes gets `name=value`, where that means something."""

    def change(arguments: Dict[str, Any], site: Any) -> None:
        was = arguments.get(name, _default(name))
        if was == value:
            return
        reason = _refusal(torch, name, arguments)
        if reason:
            findings.refuse(f"{reason}{f' ({site[0]}:{site[1]})' if site else ''}")
            return
        arguments[name] = value
        if name == "num_workers" and value == 0:
            for other in _NEED_WORKERS:
                arguments.pop(other, None)
        findings.change(f"DataLoader({name})", site, was)

    _install(counter, findings, change)


def observe(counter: Counter, findings: Findings) -> None:
    """Change nothing, and note which loaders there are."""
    _install(counter, findings, _leave)


def _leave(_arguments: Dict[str, Any], _site: Any) -> None:
    pass


def _default(name: str) -> Any:
    return {"num_workers": 0, "prefetch_factor": None}.get(name, False)


def _refusal(torch: Any, name: str, arguments: Dict[str, Any]) -> str:
    workers = arguments.get("num_workers", 0)
    iterable = isinstance(arguments.get("dataset"), torch.utils.data.IterableDataset)
    if name == "num_workers" and iterable and workers == 0:
        return "an IterableDataset would hand out its data once per worker"
    if name in _NEED_WORKERS and workers == 0:
        return f"{name} needs num_workers > 0"
    return ""


def _install(counter: Counter, findings: Findings, change: Change) -> None:
    import torch.utils.data.dataloader as module

    loaders: List[Any] = []
    plain = module.DataLoader.__init__
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def __init__(loader: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            bound = signature.bind(loader, *args, **kwargs)
        except TypeError:
            plain(loader, *args, **kwargs)
            return
        site = user_line()
        change(bound.arguments, site)
        plain(*bound.args, **bound.kwargs)
        loaders.append(loader)
        findings.loaders.append(
            {
                "site": list(site) if site else None,
                "num_workers": loader.num_workers,
                "pin_memory": bool(loader.pin_memory),
                "iterable": isinstance(loader.dataset, module.IterableDataset),
            }
        )

    module.DataLoader.__init__ = __init__
    counter.least_warmup = lambda: 1 + max((_ahead(loader) for loader in loaders), default=0)


def _ahead(loader: Any) -> int:
    """How many batches the workers of a loader make in advance."""
    return int(loader.num_workers) * int(getattr(loader, "prefetch_factor", None) or 2)

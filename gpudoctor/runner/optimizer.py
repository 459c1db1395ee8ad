"""Counts the steps of the script's optimizers and times them, through torch's own global hooks."""

from __future__ import annotations

import functools
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .code_paths import user_line

Site = Optional[Tuple[str, int]]


class OptimizerUse:
    """One optimizer of the script. `seconds` is what its `step` took on the CPU, hooks included."""

    def __init__(self, optimizer: Any, built: Site) -> None:
        groups = optimizer.param_groups
        self.name = type(optimizer).__name__
        self.module = type(optimizer).__module__
        self.foreach: Optional[bool] = groups[0].get("foreach") if groups else None
        self.fused: Optional[bool] = groups[0].get("fused") if groups else None
        self.tensors = sum(len(group["params"]) for group in groups)
        self.device = next((p.device.type for g in groups for p in g["params"]), "cpu")
        self.site = user_line(3)
        self.built = built
        self.steps = 0
        self.seconds = 0.0
        self.begun = 0.0

    def as_dict(self) -> Dict[str, Any]:
        """The row of the session file."""
        return {key: value for key, value in vars(self).items() if key != "begun"}


class OptimizerWatch:
    """`on_step` is called after each step of the optimizer that stepped first, inside its `step`."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        self.uses: List[OptimizerUse] = []
        self.enabled = True
        self._on_step = on_step
        self._by_id: Dict[int, OptimizerUse] = {}
        self._built: Dict[int, Site] = {}

    @property
    def any_built(self) -> bool:
        """Whether the script has built an optimizer, so that steps may still come."""
        return bool(self._built)

    def install(self, module: Any) -> bool:
        """`module` is torch.optim.optimizer; False where torch has no such hooks (before 2.0)."""
        if not hasattr(module, "register_optimizer_step_post_hook"):
            return False
        module.register_optimizer_step_pre_hook(self._before)
        module.register_optimizer_step_post_hook(self._after)
        self._note_where_built(module.Optimizer)
        return True

    def _note_where_built(self, kind: Any) -> None:
        plain, built = kind.__init__, self._built

        @functools.wraps(plain)
        def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            built[id(optimizer)] = user_line()
            plain(optimizer, *args, **kwargs)

        kind.__init__ = __init__

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self.enabled:
            return
        use = self._by_id.get(id(optimizer))
        if use is None:
            use = self._by_id[id(optimizer)] = OptimizerUse(
                optimizer, self._built.get(id(optimizer))
            )
            self.uses.append(use)
        use.begun = time.perf_counter()

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        use = self._by_id.get(id(optimizer))
        if use is None or not self.enabled:
            return
        use.seconds += time.perf_counter() - use.begun
        use.steps += 1
        if use is self.uses[0]:
            self._on_step()

"""Finds the step boundary by itself: counts and times optimizer steps, keeps losses, ends the script."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from typing import Any, Callable, Dict, List

from .findings import Findings

# A script that catches even SystemExit is ended the hard way after so many attempts.
_MOST_STOPS = 3


class Counter:
    """The optimizer that steps first is the one that counts.

    On CUDA the device is waited for at both ends of the measured steps only: a wait in each step would
    change what is measured.
    """

    def __init__(
        self, options: Dict[str, Any], findings: Findings, stopped: Callable[[], None]
    ) -> None:
        self.warmup: int = options["warmup"]
        self.steps: int = options["steps"]
        self._least: float = options["least_seconds"]
        self.on_first_step: List[Callable[[], None]] = []
        self.on_measuring: List[Callable[[], None]] = []
        self.on_backward: List[Callable[[], None]] = []
        self.least_warmup: Callable[[], int] = lambda: 0
        self._findings = findings
        self._stopped = stopped
        self._torch: Any = None
        self._optimizer: Any = None
        self._device: Any = None
        self._ends: List[float] = []
        self._loss: Any = None
        self._losses: List[Any] = []
        self._stops = 0
        self._begun = time.perf_counter()

    def install(self, torch: Any) -> None:
        """Hook torch's optimizers and its backward pass."""
        self._torch = torch
        # torch.optim removes the submodule's name from itself.
        optimizer = sys.modules["torch.optim.optimizer"]
        if not hasattr(optimizer, "register_optimizer_step_post_hook"):
            self._findings.refuse(f"torch {torch.__version__} is too old: 2.0 is needed")
            return
        optimizer.register_optimizer_step_post_hook(self._stepped)
        plain = torch.autograd.backward

        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            for callback in self.on_backward:
                callback()
            first = tensors[0] if isinstance(tensors, (tuple, list)) else tensors
            if isinstance(first, torch.Tensor) and first.numel() == 1:
                self._loss = first.detach()
            return plain(tensors, *args, **kwargs)

        torch.autograd.backward = backward

    def _stepped(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if self._optimizer is None:
            self._first(optimizer)
        if optimizer is not self._optimizer:
            return
        done = len(self._ends) + 1
        self._losses.append(self._loss)
        # Whether enough was measured is asked, and the device waited for, every `steps` steps only.
        edge = done >= self.warmup and (done - self.warmup) % self.steps == 0
        if edge:
            self._wait()
        self._ends.append(time.perf_counter())
        if done == self.warmup:
            for callback in self.on_measuring:
                callback()
        if self._stops or (edge and done > self.warmup and self._enough()):
            self._stop()

    def _first(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        self._device = next((p.device for p in parameters), None)
        # Batches that workers made during the slow first step would make the next ones look fast.
        self.warmup = max(self.warmup, self.least_warmup())
        for callback in self.on_first_step:
            callback()

    def _enough(self) -> bool:
        return self._ends[-1] - self._ends[self.warmup - 1] >= self._least

    def _wait(self) -> None:
        if self._device is not None and self._device.type == "cuda":
            self._torch.cuda.synchronize(self._device)

    def _stop(self) -> None:
        self._stopped()
        self._stops += 1
        if self._stops > _MOST_STOPS:
            os._exit(0)
        raise SystemExit(0)

    def as_dict(self) -> Dict[str, Any]:
        """What was counted and timed, as the child tells it to gpudoctor."""
        ends = self._ends
        times = [after - before for before, after in zip(ends, ends[1:])]
        measured = ends[self.warmup - 1 :]
        return {
            "device": None if self._device is None else str(self._device),
            "device_name": self._device_name(),
            "optimizer": None if self._optimizer is None else type(self._optimizer).__name__,
            "steps": len(ends),
            "warmup": self.warmup,
            "start_seconds": ends[0] - self._begun if ends else None,
            "warmup_seconds": times[: self.warmup - 1],
            "step_seconds": times[self.warmup - 1 :],
            "window_seconds": measured[-1] - measured[0] if len(measured) > 1 else None,
            "losses": [None if loss is None else float(loss) for loss in self._losses],
            "peak_memory_bytes": self._peak(),
        }

    def _device_name(self) -> Any:
        if self._device is None or self._device.type != "cuda":
            return None
        return self._torch.cuda.get_device_name(self._device)

    def _peak(self) -> int:
        if self._device is not None and self._device.type == "cuda":
            return int(self._torch.cuda.max_memory_allocated(self._device))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""Gathers what the watchers saw and writes it again and again, so that little is ever lost."""

from __future__ import annotations

import json
import os
import sys
import time
from types import ModuleType
from typing import Any, Dict, List, Optional

from .allocated import Allocated
from .calls import Calls
from .copies import CopyWatch
from .cpus import cpu_facts
from .files import replace
from .forward import ForwardWatch
from .growth import GrowthProbe
from .imports import ImportWatch
from .loader import LoaderWatch
from .memory_history import MemoryHistory
from .modules import ModuleWatch
from .optimizer import OptimizerWatch
from .sampler import Sampler, waited_for_cpu
from .series import Steps
from .torch_facts import torch_facts
from .window import Window
from .workers import WorkerEntry

FORMAT = 1
# Seconds after the import of torch for which an optimizer or a DataLoader may begin to give steps.
_PATIENCE = 1.0


def _beside(folder: str, options: Dict[str, Any], copies: CopyWatch) -> List[Any]:
    watchers: List[Any] = [ModuleWatch(folder)] if options.get("modules") else []
    if options.get("copies"):
        watchers.append(copies)
    return [*watchers, MemoryHistory(folder)] if options.get("memory_history") else watchers


class Recorder:
    """The session of one run. `folder` is where session.json and trace.json are written."""

    def __init__(self, folder: str, options: Dict[str, Any]) -> None:
        self.folder = folder
        self._pid = os.getpid()
        self._program: List[str] = []
        self._begun = self._next_write = time.perf_counter()
        self._cpu_begun = time.thread_time()
        self._all_cpu_begun = time.process_time()
        self._waited_begun = waited_for_cpu()
        self._started_at = time.time()
        self._wall: Optional[float] = None
        self._cpu: Optional[float] = None
        self._cpu_facts = cpu_facts()
        self._ended: Dict[str, Any] = {"how": "running"}
        self._torch_error: Optional[str] = None
        self._torch_begun = self._torch_ready = 0.0
        self._torch_seconds: Optional[float] = None
        self._write_every = 1.0
        self._writing = self._holding_up = False
        self._loop_at: Optional[float] = None
        self.steps = Steps()
        self.batches = Steps()
        self.forwards = Steps()
        self.copies = CopyWatch()
        self.window = Window(folder, options, _beside(folder, options, self.copies))
        self.growth = GrowthProbe()
        self.allocated = Allocated()
        self.calls = Calls(folder) if options["calls"] else None
        looked_at_every = options["interval"] if options["sample"] else None
        self.loaders = LoaderWatch(self._after_batch, WorkerEntry(folder, looked_at_every))
        self.optimizers = OptimizerWatch(self._after_step)
        self.forward = ForwardWatch(self._after_forward)
        self.sampler = Sampler(options["interval"], self._checkpoint) if options["sample"] else None

    def leave_stacks(self) -> None:
        """Somebody else looks at the stacks; call before `start`."""
        self.loaders.workers.leave_stacks()
        if self.sampler is not None:
            self.sampler.outside = True

    def start(self, program: List[str]) -> None:
        """Begin to watch, right before the first line of the script runs."""
        self._program = program
        self._started_at = time.time()
        ImportWatch(
            {
                "torch": self._on_torch,
                "torch.utils.data.dataloader": self._on_dataloader,
                "torch._dynamo": self._on_dynamo,
            }
        ).install()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        self._begun = time.perf_counter()
        self._cpu_begun = time.thread_time()
        self._all_cpu_begun = time.process_time()
        self._waited_begun = waited_for_cpu()
        if self.sampler is not None:
            self.sampler.start()
        if self.calls is not None:
            self.calls.start()

    def end(self, how: Dict[str, Any]) -> None:
        """The script has ended: close the profiler while that is safe, and write."""
        if os.getpid() != self._pid:
            return
        self._ended = how
        self._wall = time.perf_counter() - self._begun
        self._cpu = time.thread_time() - self._cpu_begun
        if self.calls is not None:
            self.calls.stop()
        self.window.close("the script ended")
        if self.sampler is not None:
            self.sampler.stop()
        self.write()

    def _waited(self) -> Optional[float]:
        waited = waited_for_cpu()
        if waited is None or self._waited_begun is None:
            return None
        return waited - self._waited_begun

    def _forget(self) -> None:
        self.loaders.enabled = self.optimizers.enabled = False
        self.copies.step_aside()

    def _on_torch(self, module: ModuleType, ran: bool) -> None:
        if not ran:
            self._torch_begun = time.perf_counter()
            self._torch_error = "torch was not imported to its end"
            return
        self._torch_error = None
        self._torch_ready = time.perf_counter()
        self._torch_seconds = self._torch_ready - self._torch_begun
        self.optimizers.install(sys.modules["torch.optim.optimizer"])

    def _on_dataloader(self, module: ModuleType, ran: bool) -> None:
        if ran:
            self.loaders.install(module)

    def _on_dynamo(self, module: ModuleType, ran: bool) -> None:
        # torch.compile would compile global hooks into the model. (A profiler's start imports it, too.)
        if not self._holding_up:
            self.forward.give_up()
            self.copies.step_aside()

    def _after_step(self) -> None:
        self.steps.add()
        if self.steps.count == 1 and (self.batches.count or self.forwards.count):
            # What came before, such as a validation ahead of the training, was not the loop.
            self.forward.remove()
            self.window.restart()
        self._hold_up(self.steps)

    def _after_batch(self) -> None:
        self.batches.add()
        # Inference has no optimizer: there, the batches of the loader are the steps.
        if not self.steps.count and self.batches.count > 10:
            self._hold_up(self.batches)

    def _after_forward(self) -> None:
        self.forwards.add()
        if self.steps.count or self.batches.count:
            self.forward.remove()
        elif self.forwards.count > 3:
            self._hold_up(self.forwards)
            if self.window.over:
                self.forward.remove()

    def _hold_up(self, steps: Steps) -> None:
        begun = time.perf_counter()
        self._holding_up = True
        if self.sampler is not None:
            self.sampler.paused = True
        self.growth.after_step(steps.count)
        self.allocated.after_step(steps.count)
        self.window.after_step(steps.count, steps.last_seconds(), steps.span())
        if self.sampler is not None:
            self.sampler.paused = False
            self.sampler.in_loop = True
        if self._loop_at is None:
            self._loop_at = begun - self._begun
        self._holding_up = False
        seconds = time.perf_counter() - begun
        self.steps.held_up += seconds
        self.batches.held_up += seconds
        self.forwards.held_up += seconds

    def _checkpoint(self) -> None:
        now = time.perf_counter()
        if self._torch_ready and now > self._torch_ready + _PATIENCE:
            self._torch_ready = 0.0
            if not (self.steps.count or self.batches.count or self.optimizers.any_built):
                self.forward.install()
        if now >= self._next_write:
            self.write()
            # Long runs are written less and less often, up to every half minute.
            self._write_every = min(30.0, self._write_every * 1.3)
            self._next_write = time.perf_counter() + self._write_every

    def write(self) -> None:
        """Write session.json in one piece; what cannot be written is given up without a word."""
        if self._writing or os.getpid() != self._pid:
            return
        self._writing = True
        try:
            whole = self.as_dict()
            # Where the disk is full, what is not stacks may still fit.
            if not self._put(whole) and not self._put({**whole, "samples": None}):
                self._write_every = 30.0
        finally:
            self._writing = False

    def _put(self, body: Dict[str, Any]) -> bool:
        try:
            replace(os.path.join(self.folder, "session.json"), json.dumps(body))
        except OSError:
            return False
        return True

    def as_dict(self) -> Dict[str, Any]:
        """The session as it stands now."""
        now = time.perf_counter()
        memory = self.sampler.memory if self.sampler is not None else []
        return {
            "format": FORMAT,
            "pid": self._pid,
            "program": self._program,
            "cwd": os.getcwd(),
            "python": {
                "version": ".".join(map(str, sys.version_info[:3])),
                "executable": sys.executable,
            },
            "started_at": self._started_at,
            "wall_seconds": now - self._begun if self._wall is None else self._wall,
            "main_cpu_seconds": self._cpu,
            "cpu_wait_seconds": self._waited(),
            "cpu_seconds": time.process_time() - self._all_cpu_begun,
            "children_cpu_seconds": sum(os.times()[2:4]),
            "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "cpu": self._cpu_facts,
            "loop_at_seconds": self._loop_at,
            "held_up_seconds": self.steps.held_up,
            "ended": self._ended,
            "torch": torch_facts(sys.modules.get("torch"), self._torch_seconds, self._torch_error),
            "steps": self.steps.as_dict(),
            "batches": self.batches.as_dict(),
            "forwards": self.forwards.as_dict(),
            "optimizers": [use.as_dict() for use in self.optimizers.uses],
            "loaders": [use.as_dict() for use in self.loaders.uses],
            "window": {"state": self.window.state, **self.window.facts},
            "growth": self.growth.as_list(),
            "held": self.growth.held.as_list(),
            "allocated": self.allocated.as_list(),
            "memory": [[round(at - self._begun, 3), size] for at, size in list(memory)],
            "calls": self.calls.as_list() if self.calls is not None else None,
            "samples": self.sampler.as_dict() if self.sampler is not None else None,
        }

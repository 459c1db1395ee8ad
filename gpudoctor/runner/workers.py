"""Times a DataLoader's worker processes from inside: making batches, or waiting to be asked for one."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional

from .files import replace
from .sampler import Sampler, waited_for_cpu

FORMAT = 1
# Workers that end with each epoch are watched up to so many: each leaves a file.
_MOST_WORKERS = 512
_MOST_STACKS = 200
_SWITCH_SECONDS = 0.001
_SPAWNED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spawned.py")
# A worker that is not forked unpickles what it shall run; without our file it runs torch's own.
_SOURCE = (
    "__import__('runpy').run_path(path)['entry'](*arguments) if __import__('os').path.exists(path) "
    "else __import__('torch.utils.data._utils.worker', fromlist=['_worker_loop'])._worker_loop"
)


class WorkerEntry:
    """Stands in for torch's `_worker_loop`. `use` is the loop of the script whose workers start now."""

    def __init__(self, folder: str, interval: Optional[float], use: Optional[int] = None) -> None:
        self._folder = folder
        self._interval = interval
        self._started = 0
        self._plain: Any = None
        self.use = use

    def leave_stacks(self) -> None:
        """Somebody else looks at the workers' stacks."""
        self._interval = None

    def install(self, module: Any) -> None:
        """`module` is torch.utils.data._utils.worker."""
        self._plain = module._worker_loop
        functools.update_wrapper(self, self._plain)
        module._worker_loop = self

    def around(self, use: int, start: Callable[[], Any]) -> Any:
        """What `start` gives; the workers that it starts are those of `use`."""
        before, self.use = self.use, use if self._started < _MOST_WORKERS else None
        try:
            return start()
        finally:
            self.use = before

    def count(self, workers: int) -> None:
        """So many workers were started."""
        self._started += workers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.use is None:
            return self._plain(*args, **kwargs)
        return work(self._plain, Worker(self._folder, self.use, self._interval), args, kwargs)

    def __reduce__(self) -> Any:
        named = {"path": _SPAWNED, "arguments": (self._folder, self._interval, self.use)}
        return eval, (_SOURCE, named)


class Worker:
    """What one worker process did, written again and again to worker-PID.json."""

    def __init__(self, folder: str, use: int, interval: Optional[float]) -> None:
        self._path = os.path.join(folder, f"worker-{os.getpid()}.json")
        self.facts: Dict[str, Any] = {"format": FORMAT, "pid": os.getpid(), "loader": use}
        self.facts.update(worker=0, batches=0, busy_seconds=0.0, wait_seconds=0.0)
        self.facts.update(collate_seconds=0.0, cpu_seconds=0.0, cpu_wait_seconds=None, ended=False)
        self._waiting = 0.0
        self._asked = self._asked_cpu = 0.0
        self._next_write = 0.0
        self._write_every = 0.25
        self._writing = False
        self._waited_begun = waited_for_cpu()
        self.sampler = Sampler(interval, self._maybe_write) if interval else None

    def watch(self, names: List[str], args: List[Any]) -> None:
        """Time the queues and the collate function among the arguments of `_worker_loop`."""
        given = dict(zip(names, args))
        indices, batches = given["index_queue"], given["data_queue"]
        self.facts["worker"] = given["worker_id"]
        collate = given["collate_fn"]
        args[names.index("collate_fn")] = self._timed(collate)
        # On these two objects alone, which are this process's own copies.
        indices.get = self._get(indices.get)
        batches.put = self._put(batches.put)

    def before(self, leave: Callable[[int], Any]) -> Callable[[int], Any]:
        """`leave` as it is, with a last word before: os._exit runs nothing that could say it."""

        def exit_at_once(status: int) -> Any:
            self.write()
            return leave(status)

        return exit_at_once

    def _timed(self, collate: Any) -> Any:
        @functools.wraps(collate, updated=())
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return collate(*args, **kwargs)
            finally:
                self.facts["collate_seconds"] += time.perf_counter() - begun

        return timed

    def _get(self, plain: Any) -> Any:
        def get(*args: Any, **kwargs: Any) -> Any:
            begun, asked = time.perf_counter(), None
            try:
                asked = plain(*args, **kwargs)
                return asked
            finally:
                self._asked, self._asked_cpu = time.perf_counter(), time.thread_time()
                self._waiting += self._asked - begun
                if type(asked) is tuple:
                    self.facts["wait_seconds"] += self._waiting
                # Between two epochs, and after the last one, nobody waits for this worker.
                if asked is not None:
                    self._waiting = 0.0

        return get

    def _put(self, plain: Any) -> Any:
        def put(item: Any, *args: Any, **kwargs: Any) -> Any:
            if type(item) is tuple and type(item[0]) is int:
                self.facts["busy_seconds"] += time.perf_counter() - self._asked
                self.facts["cpu_seconds"] += time.thread_time() - self._asked_cpu
                self.facts["batches"] += type(item[1]).__name__ != "_IterableDatasetStopIteration"
            plain(item, *args, **kwargs)
            self._maybe_write()

        return put

    def _maybe_write(self) -> None:
        if time.perf_counter() >= self._next_write:
            self.write()
            self._write_every = min(5.0, self._write_every * 1.3)
            self._next_write = time.perf_counter() + self._write_every

    def write(self) -> None:
        """Write what is known so far in one piece; what cannot be written is given up without a word."""
        if self._writing or os.getpid() != self.facts["pid"]:
            return
        self._writing = True
        waited = waited_for_cpu()
        if waited is not None and self._waited_begun is not None:
            self.facts["cpu_wait_seconds"] = waited - self._waited_begun
        try:
            replace(self._path, json.dumps({**self.facts, "samples": self._samples()}))
        except OSError:
            self._write_every = 5.0
        finally:
            self._writing = False

    def _samples(self) -> Any:
        return self.sampler.as_dict(_MOST_STACKS) if self.sampler is not None else None


def work(plain: Any, worker: Worker, args: Any, kwargs: Any) -> Any:
    """Runs torch's `_worker_loop` in this process, watched; as it is where it is not the known one."""
    try:
        given = list(args)
        worker.watch(list(plain.__code__.co_varnames[: plain.__code__.co_argcount]), given)
        args = tuple(given)
    except (AttributeError, KeyError, ValueError, TypeError):
        return plain(*args, **kwargs)
    if worker.sampler is not None:
        # The sampler would else wait for the interpreter so long that it sees the end of each sample only.
        sys.setswitchinterval(min(_SWITCH_SECONDS, sys.getswitchinterval()))
        worker.sampler.start()
    leave = os._exit
    os._exit = worker.before(leave)  # type: ignore[assignment]
    try:
        return plain(*args, **kwargs)
    finally:
        os._exit = leave
        worker.facts["ended"] = True
        if worker.sampler is not None:
            worker.sampler.stop()
        worker.write()

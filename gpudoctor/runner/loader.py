"""Times how long the main thread stands in a DataLoader's `__next__`, and where the script's loop is."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .code_paths import user_line
from .workers import WorkerEntry

Site = Optional[Tuple[str, int]]


class LoaderUse:
    """One loop over a DataLoader: a line of the script and the loader's settings."""

    def __init__(self, number: int, site: Site, loader: Any) -> None:
        self.number = number
        self.site = site
        self.num_workers = getattr(loader, "num_workers", None)
        self.batch_size = getattr(loader, "batch_size", None)
        self.pin_memory = bool(getattr(loader, "pin_memory", False))
        self.persistent = bool(getattr(loader, "persistent_workers", False))
        self.batches = 0
        self.epochs = 0
        self.wait_seconds = 0.0
        self.first_wait_seconds = 0.0
        self.start_seconds = 0.0

    def as_dict(self) -> Dict[str, Any]:
        """The row of the session file."""
        plain = {k: v for k, v in vars(self).items() if k not in ("site", "number")}
        return {"site": list(self.site) if self.site else None, **plain}


class LoaderWatch:
    """Patches `DataLoader.__iter__` and the iterators' `__next__` once; adds up per loop of the script."""

    def __init__(self, on_batch: Callable[[], None], workers: WorkerEntry) -> None:
        self.uses: List[LoaderUse] = []
        self.enabled = True
        self._on_batch = on_batch
        self.workers = workers
        self._by_site: Dict[Any, LoaderUse] = {}

    def install(self, module: Any) -> None:
        """`module` is torch.utils.data.dataloader."""
        base = module._BaseDataLoaderIter
        plain_next, plain_iter = base.__next__, module.DataLoader.__iter__
        watch = self

        def __next__(iterator: Any) -> Any:  # noqa: N807
            if not watch._counts():
                return plain_next(iterator)
            begun, came = time.perf_counter(), False
            try:
                batch = plain_next(iterator)
                came = True
                return batch
            finally:
                watch._waited(iterator, time.perf_counter() - begun, came)

        def __iter__(loader: Any) -> Any:  # noqa: N807
            if not watch._counts():
                return plain_iter(loader)
            use = watch._use(loader, user_line())
            begun = time.perf_counter()
            iterator = watch.workers.around(use.number, lambda: plain_iter(loader))
            watch._started(use, iterator, time.perf_counter() - begun)
            return iterator

        __next__.__doc__, __iter__.__doc__ = plain_next.__doc__, plain_iter.__doc__
        base.__next__ = __next__
        module.DataLoader.__iter__ = __iter__
        self.workers.install(module._utils.worker)

    def _counts(self) -> bool:
        return self.enabled and threading.current_thread() is threading.main_thread()

    def _started(self, use: LoaderUse, iterator: Any, seconds: float) -> None:
        use.epochs += 1
        if not (use.persistent and use.epochs > 1):
            self.workers.count(use.num_workers or 0)
        use.start_seconds += seconds
        iterator._gpudoctor_use = use
        iterator._gpudoctor_first = True

    def _use(self, loader: Any, site: Site) -> LoaderUse:
        key = (site, getattr(loader, "num_workers", None), getattr(loader, "batch_size", None))
        use = self._by_site.get(key)
        if use is None:
            use = self._by_site[key] = LoaderUse(len(self.uses), site, loader)
            self.uses.append(use)
        return use

    def _waited(self, iterator: Any, seconds: float, came: bool) -> None:
        use: Optional[LoaderUse] = getattr(iterator, "_gpudoctor_use", None)
        if use is None:
            return
        use.wait_seconds += seconds
        if iterator._gpudoctor_first:
            iterator._gpudoctor_first = False
            use.first_wait_seconds += seconds
        if came:
            use.batches += 1
            self._on_batch()

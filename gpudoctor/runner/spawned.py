"""What a DataLoader's worker that was not forked runs, so that it is watched as forked ones are."""

from __future__ import annotations

import sys
from typing import Any, Optional


def entry(folder: str, interval: Optional[float], use: Optional[int]) -> Any:
    """The watched `_worker_loop` of this process."""
    import importlib.util

    name = "_gpudoctor_runner"
    if name not in sys.modules:
        here = __file__.rpartition("/")[0]
        spec = importlib.util.spec_from_file_location(
            name, here + "/__init__.py", submodule_search_locations=[here]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    entry = importlib.import_module(name + ".workers").WorkerEntry(folder, interval, use)
    entry.install(importlib.import_module("torch.utils.data._utils.worker"))
    return entry

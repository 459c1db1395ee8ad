"""Calls back when, and only when, the script itself imports a module."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Optional

Callback = Callable[[ModuleType, bool], None]


class _Loader:
    """Stands in for a module's loader until the module has run, then leaves no trace of itself."""

    def __init__(self, loader: Any, watch: "ImportWatch", name: str) -> None:
        self._loader = loader
        self._watch = watch
        self._name = name

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        found: Optional[ModuleType] = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._watch.about_to(self._name, module)
        self._loader.exec_module(module)
        self._watch.done(self._name, module)


class ImportWatch:
    """A finder in front of all others. `callbacks` maps a module's name to what is called with it,
    once before it runs (False) and once after it ran (True)."""

    def __init__(self, callbacks: Dict[str, Callback]) -> None:
        self._waiting = dict(callbacks)
        self._searching = False

    def install(self) -> None:
        """From now on every import asks us first."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders give, with our loader around theirs."""
        if name not in self._waiting or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None
        spec.loader = _Loader(spec.loader, self, name)  # type: ignore[assignment]
        return spec

    def about_to(self, name: str, module: ModuleType) -> None:
        """The module is there and has not run: tell who waits for it."""
        callback = self._waiting.get(name)
        if callback is not None:
            callback(module, False)

    def done(self, name: str, module: ModuleType) -> None:
        """The module has run: call back, and step aside when nothing is left to wait for."""
        callback = self._waiting.pop(name, None)
        if callback is not None:
            callback(module, True)
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)

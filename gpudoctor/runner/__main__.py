"""`python gpudoctor/runner OPTIONS KIND TARGET [ARGS…]` behaves as `python TARGET [ARGS…]` and watches it."""

from __future__ import annotations

import sys


def _enter() -> None:
    here = __file__.rpartition("/")[0]
    sys.path[:] = [entry for entry in sys.path if entry != here]
    import importlib.util

    # A package of its own name, so that no module of the script can clash with one of the runner's.
    spec = importlib.util.spec_from_file_location(
        "_gpudoctor_runner", here + "/__init__.py", submodule_search_locations=[here]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["_gpudoctor_runner"] = package
    spec.loader.exec_module(package)
    importlib.import_module("_gpudoctor_runner.run").main()


_enter()

"""`python gpudoctor/runner/bench train OPTIONS` or `… whatif OPTIONS KIND TARGET [ARGS…]`."""

from __future__ import annotations

import sys


def _enter() -> None:
    here = __file__.rpartition("/")[0]
    runner = here.rpartition("/")[0]
    sys.path[:] = [entry for entry in sys.path if entry != here]
    import importlib.util

    # The runner's package under a name of its own, so that no module of the script can clash with it.
    spec = importlib.util.spec_from_file_location(
        "_gpudoctor_runner", runner + "/__init__.py", submodule_search_locations=[runner]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["_gpudoctor_runner"] = package
    spec.loader.exec_module(package)
    importlib.import_module("_gpudoctor_runner.bench." + sys.argv.pop(1)).main()


_enter()

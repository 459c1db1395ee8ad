"""Compiles the simulated libnvidia-ml.so.1. Built once for each version of its sources."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from tests.libraries import library

SONAME = "libnvidia-ml.so.1"
_HERE = Path(__file__).parent
_LOOKED_UP = re.compile(r'_nvmlGetFunctionPointer\("(\w+)"\)')
_DEFINED = re.compile(r"^(?:API [\w ]+?[ *]|[A-Z][A-Z0-9_]*\()(nvml\w+)\b", re.MULTILINE)
_WRITES = re.compile(
    r"^nvml(Device|GpuInstance|ComputeInstance|System|Unit|Gpm|Vgpu\w*?)"
    r"(Set|Clear|Reset|Create|Destroy|Modify|Remove|Freeze|ReadWrite|Discover|PowerSmoothing"
    r"|WorkloadPowerProfile(Set|Clear|Update))"
)


def build(missing: tuple[str, ...] = ()) -> Path:
    """The folder that holds the library, without the functions in `missing` (an older driver)."""
    return library(SONAME, _HERE, missing, {"stubs.c": _stubs()})


def function_names() -> frozenset[str]:
    """Every function that nvidia-ml-py can look up, and those of our own that it does not use."""
    return frozenset(_LOOKED_UP.findall(_pynvml_source())) | _defined()


@cache
def _pynvml_source() -> str:
    spec = importlib.util.find_spec("pynvml")
    assert spec is not None and spec.origin is not None, "nvidia-ml-py is not installed"
    return Path(spec.origin).read_text()


@cache
def _defined() -> frozenset[str]:
    texts = (path.read_text() for path in sorted((_HERE / "src").glob("*.c")))
    return frozenset(name for text in texts for name in _DEFINED.findall(text))


def _stubs() -> str:
    """C for what the sources leave out: writers may not write, the rest is not supported."""
    names = sorted(function_names() - _defined())
    rows = (f"STUB({n}, {'NO_PERMISSION' if _WRITES.match(n) else 'NOT_SUPPORTED'})" for n in names)
    return '#include "stub.h"\n\n' + "\n".join(rows) + "\n"

"""Compiles the simulated libnvidia-ml.so.1. Built once for each version of its sources."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SONAME = "libnvidia-ml.so.1"
_HERE = Path(__file__).parent
_SOURCES = _HERE / "src"
_BUILD = _HERE / "build"
_FLAGS = (
    "-std=gnu17", "-O2", "-shared", "-fPIC", "-pthread", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{SONAME}",
)  # fmt: skip
_LOOKED_UP = re.compile(r'_nvmlGetFunctionPointer\("(\w+)"\)')
_DEFINED = re.compile(r"^(?:API [\w ]+?[ *]|[A-Z][A-Z0-9_]*\()(nvml\w+)\b", re.MULTILINE)
_WRITES = re.compile(
    r"^nvml(Device|GpuInstance|ComputeInstance|System|Unit|Gpm|Vgpu\w*?)"
    r"(Set|Clear|Reset|Create|Destroy|Modify|Remove|Freeze|ReadWrite|Discover|PowerSmoothing"
    r"|WorkloadPowerProfile(Set|Clear|Update))"
)


class NoCompilerError(RuntimeError):
    """There is no C compiler on this machine."""


def build(missing: tuple[str, ...] = ()) -> Path:
    """The folder that holds the library, without the functions in `missing` (an older driver)."""
    stubs = _stubs()
    folder = _BUILD / _digest(stubs, missing)
    if not (folder / SONAME).exists():
        _compile(folder, stubs, missing)
    return folder


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
    texts = (path.read_text() for path in sorted(_SOURCES.glob("*.c")))
    return frozenset(name for text in texts for name in _DEFINED.findall(text))


def _stubs() -> str:
    """C for what the sources leave out: writers may not write, the rest is not supported."""
    names = sorted(function_names() - _defined())
    rows = (f"STUB({n}, {'NO_PERMISSION' if _WRITES.match(n) else 'NOT_SUPPORTED'})" for n in names)
    return '#include "stub.h"\n\n' + "\n".join(rows) + "\n"


def _digest(stubs: str, missing: tuple[str, ...]) -> str:
    seen = hashlib.sha256(stubs.encode())
    seen.update("\0".join((*_FLAGS, *sorted(missing))).encode())
    for path in sorted(_SOURCES.iterdir()):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()[:16]


def _compile(folder: Path, stubs: str, missing: tuple[str, ...]) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompilerError("the simulated library needs a C compiler (cc)")
    _BUILD.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="making-", dir=_BUILD))
    (scratch / "stubs.c").write_text(stubs)
    command = [compiler, *_FLAGS, f"-I{_SOURCES}", "-o", str(scratch / SONAME)]
    if missing:
        (scratch / "hidden.map").write_text("{ local: " + "".join(f"{n}; " for n in missing) + "};")
        command.append(f"-Wl,--version-script={scratch / 'hidden.map'}")
    sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
    made = subprocess.run(
        [*command, *sources, str(scratch / "stubs.c"), "-lm"], capture_output=True, text=True
    )
    if made.returncode != 0:
        raise RuntimeError(f"the simulated library does not compile:\n{made.stderr}")
    try:
        scratch.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(scratch)

"""Compiles the simulated libcuda.so.1. Built once for each version of its sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.nvml_sim.build import NoCompilerError

SONAME = "libcuda.so.1"
_HERE = Path(__file__).parent
_SOURCES = _HERE / "src"
_BUILD = _HERE / "build"
_FLAGS = (
    "-std=gnu17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{SONAME}",
)  # fmt: skip


def build(missing: tuple[str, ...] = ()) -> Path:
    """The folder that holds the library, without the functions in `missing` (an older driver)."""
    folder = _BUILD / _digest(missing)
    if not (folder / SONAME).exists():
        _compile(folder, missing)
    return folder


def _digest(missing: tuple[str, ...]) -> str:
    seen = hashlib.sha256("\0".join((*_FLAGS, *sorted(missing))).encode())
    for path in sorted(_SOURCES.iterdir()):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()[:16]


def _compile(folder: Path, missing: tuple[str, ...]) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompilerError("the simulated library needs a C compiler (cc)")
    _BUILD.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="making-", dir=_BUILD))
    command = [compiler, *_FLAGS, "-o", str(scratch / SONAME)]
    if missing:
        (scratch / "hidden.map").write_text("{ local: " + "".join(f"{n}; " for n in missing) + "};")
        command.append(f"-Wl,--version-script={scratch / 'hidden.map'}")
    sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
    made = subprocess.run([*command, *sources], capture_output=True, text=True)
    if made.returncode != 0:
        raise RuntimeError(f"the simulated library does not compile:\n{made.stderr}")
    try:
        scratch.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(scratch)

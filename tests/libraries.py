"""Compiles the C libraries that tests put in the place of others, once for each version of their sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

FLAGS = (
    "-std=gnu17", "-O2", "-shared", "-fPIC", "-pthread", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip


class NoCompilerError(RuntimeError):
    """There is no C compiler on this machine."""


def library(
    name: str,
    room: Path,
    missing: tuple[str, ...] = (),
    more: Mapping[str, str] | None = None,
) -> Path:
    """The folder that holds the library `name`, made of room/src and the texts of `more`, without the
    functions in `missing` (an older driver)."""
    more = more or {}
    folder = room / "build" / _digest(name, room, missing, more)
    if not (folder / name).exists():
        _compile(name, room, folder, missing, more)
    return folder


def _digest(name: str, room: Path, missing: tuple[str, ...], more: Mapping[str, str]) -> str:
    seen = hashlib.sha256("\0".join((*FLAGS, name, *sorted(missing))).encode())
    for file, text in more.items():
        seen.update(f"{file}\0{text}".encode())
    for path in sorted((room / "src").iterdir()):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()[:16]


def _compile(
    name: str, room: Path, folder: Path, missing: tuple[str, ...], more: Mapping[str, str]
) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompilerError("the simulated library needs a C compiler (cc)")
    folder.parent.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    for file, text in more.items():
        (scratch / file).write_text(text)
    sources = [*sorted((room / "src").glob("*.c")), *(scratch / file for file in more)]
    command = [compiler, *FLAGS, f"-Wl,-soname,{name}", f"-I{room / 'src'}", *map(str, sources)]
    if missing:
        (scratch / "hidden.map").write_text("{ local: " + "".join(f"{n}; " for n in missing) + "};")
        command.append(f"-Wl,--version-script={scratch / 'hidden.map'}")
    made = subprocess.run(
        [*command, "-o", str(scratch / name), "-lm"], capture_output=True, text=True
    )
    if made.returncode != 0:
        raise RuntimeError(f"the simulated library does not compile:\n{made.stderr}")
    try:
        scratch.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(scratch)

"""Runs small programs for what they say of themselves, never longer than a limit."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.model.environment import Tool, Toolkit

LIMIT_S = 3.0
# A program that PATH leads to may print anything; its version is at the beginning of it.
_MOST_CHARACTERS = 4096
_VERSION = re.compile(r"(?<!\d)\d{1,9}\.\d+[\w.+-]*")
_NVCC_BUILD = re.compile(r"release [\d.]+, V([\d.]+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program wrote on stdout; `error` is None where it ended with 0 in time."""

    text: str = ""
    error: str | None = None


def answer_of(
    command: Sequence[str], limit_s: float = LIMIT_S, environ: Mapping[str, str] | None = None
) -> Answer:
    """Run `command`; one that does not end in time is killed with all that it started."""
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environ is None else dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        return Answer(error=str(error.strerror or error))
    try:
        raw, _ = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.5)
        return Answer(error=f"no answer within {limit_s:g} s")
    text = raw.decode(errors="replace")
    return Answer(text, None if child.returncode == 0 else f"exit code {child.returncode}")


def tool(name: str, environ: Mapping[str, str], limit_s: float = LIMIT_S) -> Tool:
    """The program on the PATH of `environ` with the first version that its --version names."""
    path = located(name, environ)
    if path is None:
        return Tool(name)
    answer = answer_of([path, "--version"], limit_s, environ)
    if answer.error:
        return Tool(name, path, None, answer.error)
    said = answer.text[:_MOST_CHARACTERS]
    # gcc names its packager's version in parentheses before its own.
    bare = re.sub(r"\([^)]*\)", "", said)
    match = _VERSION.search(bare) or _VERSION.search(said)
    return Tool(name, path, match[0] if match else None)


def located(name: str, environ: Mapping[str, str]) -> str | None:
    """Where PATH leads for a program; nothing is run."""
    return shutil.which(name, path=environ.get("PATH", os.defpath))


def toolkit(environ: Mapping[str, str], limit_s: float = LIMIT_S) -> Toolkit:
    """The CUDA toolkit on PATH and the one that CUDA_HOME names."""
    path = located("nvcc", environ)
    nvcc = Tool("nvcc")
    if path is not None:
        answer = answer_of([path, "--version"], limit_s, environ)
        match = _NVCC_BUILD.search(answer.text[:_MOST_CHARACTERS])
        nvcc = Tool("nvcc", path, match[1] if match else None, answer.error)
    home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
    if not home:
        return Toolkit(nvcc)
    return Toolkit(nvcc, home, _version_file(Path(home)), Path(home).is_dir())


def _version_file(home: Path) -> str | None:
    """The toolkit's own version: version.json since CUDA 11.1, version.txt before."""
    for name in ("version.json", "version.txt"):
        try:
            with (home / name).open(encoding="utf-8") as file:
                match = _VERSION.search(file.read(_MOST_CHARACTERS))
        except (OSError, UnicodeDecodeError):
            continue
        if match:
            return match[0]
    return None


def conda_packages(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """`name version build` of every package of the active conda environment; None outside of one."""
    prefix = environ.get("CONDA_PREFIX")
    if not prefix:
        return None
    # One file for each package; asking conda itself takes seconds.
    return tuple(
        " ".join(path.stem.rsplit("-", 2))
        for path in sorted(Path(prefix).glob("conda-meta/*.json"))
    )

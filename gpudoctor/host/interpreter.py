"""Finds the interpreter under test: the one named, that of a running process, or the one in use here."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.missing import no_process
from gpudoctor.host.proc_files import parse_cgroup, read_text

_NAMES = ("python", "pypy")


@dataclass(frozen=True, slots=True)
class Target:
    """An interpreter with the environment it is to run in. `chosen` says in words why this one."""

    executable: str
    chosen: str
    environ: Mapping[str, str]
    cwd: str | None = None


def find(
    python: str | None = None,
    pid: int | None = None,
    environ: Mapping[str, str] | None = None,
    root: Path = Path("/"),
    own_torch: bool | None = None,
) -> Target:
    """The interpreter that was asked for with --python or --pid, else the one that is in use here.

    That is the active environment's, else our own where torch is beside us (`own_torch`; looked up
    where None), else the first `python3` on PATH.

    Raises:
        GpuDoctorError: it does not exist, is no Python, or the process may not be looked at.
    """
    here = dict(os.environ if environ is None else environ)
    if python is not None and pid is not None:
        raise GpuDoctorError("--python and --pid exclude each other", hint="Give one of them.")
    if python is not None:
        return Target(_named(python, here), f"--python {python}", here)
    if pid is not None:
        return of_process(pid, root)
    return _in_use(here, _has_torch() if own_torch is None else own_torch)


def _has_torch() -> bool:
    # It is looked for, not imported.
    return importlib.util.find_spec("torch") is not None


def _named(python: str, environ: Mapping[str, str]) -> str:
    path = Path(python)
    if path.is_dir():
        # A virtual environment's folder is what people have at hand.
        path = path / "bin" / "python"
    found = shutil.which(str(path), path=environ.get("PATH"))
    if found is None:
        raise GpuDoctorError(
            f"there is no interpreter {python or repr(python)}",
            cause="no executable file of that name, neither as a path nor on PATH",
            hint="Give the path of a python, or the folder of a virtual environment.",
        )
    # Not resolved: a virtual environment's python is a link, and knows its folder by the link's name.
    return str(Path(found).absolute())


def _in_use(environ: Mapping[str, str], own_torch: bool) -> Target:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = environ.get(variable)
        if folder and os.access(Path(folder) / "bin" / "python", os.X_OK):
            return Target(str(Path(folder) / "bin" / "python"), f"{variable}={folder}", environ)
    if own_torch:
        return Target(sys.executable, "gpudoctor's own, which has torch", environ)
    for name in ("python3", "python"):
        found = shutil.which(name, path=environ.get("PATH"))
        if found:
            return Target(found, f"{name} on PATH", environ)
    return Target(sys.executable, "gpudoctor's own (no python on PATH)", environ)


def of_process(pid: int, root: Path = Path("/")) -> Target:
    """The interpreter and the environment of a running process.

    /proc/PID/environ is the environment at its start: what the process changed later is not in it.

    Raises:
        GpuDoctorError: no such process, no right to look, no Python, another container's or user's.
    """
    folder = root / "proc" / str(pid)
    try:
        executable = str((folder / "exe").readlink())
        environ = environ_of(pid, root)
        cwd = str((folder / "cwd").readlink())
        words = (folder / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
        elsewhere = in_other_container(pid, root)
    except OSError as error:
        raise unreadable(pid, error) from error
    if not Path(executable).name.startswith(_NAMES):
        raise GpuDoctorError(
            f"process {pid} is no Python interpreter",
            cause=f"it runs {executable}",
            hint="Give the pid of the python process, or choose an interpreter with --python.",
        )
    if elsewhere:
        raise _elsewhere(pid, executable, root)
    if (owner := stranger(pid, root)) is not None:
        raise GpuDoctorError(
            f"process {pid} belongs to another user (uid {owner})",
            cause="its interpreter and its environment would run code of theirs with your rights",
            hint=f"Run gpudoctor as that user: sudo -u '#{owner}' gpudoctor env --pid {pid}",
        )
    return Target(_as_called(words[0], executable, environ, cwd), f"--pid {pid}", environ, cwd)


def _elsewhere(pid: int, executable: str, root: Path) -> GpuDoctorError:
    """Its interpreter could only be run with its files under our rights, which is not done."""
    placed = parse_cgroup(read_text(root / "proc" / str(pid) / "cgroup") or "")
    inside = f": docker exec {placed.container[:12]} gpudoctor env" if placed.container else ""
    return GpuDoctorError(
        f"process {pid} runs in a container of its own",
        cause=f"its {executable} is in another mount namespace: started from here, it would find other "
        "files, or run that container's code with your rights",
        hint=f"Run gpudoctor inside that container{inside}. Its variables and its GPUs can be read from "
        f"here: gpudoctor visible --pid {pid}",
    )


def in_other_container(pid: int, root: Path = Path("/")) -> bool:
    """Whether a process sees other files than we do.

    Raises:
        OSError: no such process, or no right to look.
    """
    proc = root / "proc"
    return _mount_namespace(proc / str(pid)) != _mount_namespace(proc / "self")


def stranger(pid: int, root: Path = Path("/")) -> int | None:
    """The user, other than us, with whose rights a process runs; None where it is ours.

    Raises:
        GpuDoctorError: there is no such process.
    """
    try:
        # Not the owner of the folder: a process can have that be root.
        status = (root / "proc" / str(pid) / "status").read_bytes()
    except OSError as error:
        raise unreadable(pid, error) from error
    found = re.search(rb"^Uid:((?:\s+\d+){4})$", status, re.MULTILINE)
    uids = [int(word) for word in found[1].split()] if found else [-1]
    return next((uid for uid in uids if uid != os.geteuid()), None)


def _mount_namespace(folder: Path) -> str | None:
    try:
        return str((folder / "ns" / "mnt").readlink())
    except FileNotFoundError:
        return None


def _as_called(word: str, executable: str, environ: Mapping[str, str], cwd: str) -> str:
    """The name under which the process called its interpreter: only that leads to its venv."""
    if "/" in word:
        called: str | None = str(Path(cwd) / word)
    else:
        called = shutil.which(word, path=environ.get("PATH"))
    if called and os.path.realpath(called) == os.path.realpath(executable):
        return called
    return executable


def environ_of(pid: int, root: Path = Path("/")) -> dict[str, str]:
    """The environment with which a process was started.

    Raises:
        OSError: no such process, or no right to read it.
    """
    raw = (root / "proc" / str(pid) / "environ").read_bytes()
    pairs = (item.partition("=") for item in raw.decode(errors="surrogateescape").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def unreadable(pid: int, error: OSError) -> GpuDoctorError:
    """The error for a process that is not there or not ours."""
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return no_process(pid)
    return GpuDoctorError(
        f"process {pid} may not be looked at",
        cause=f"{error.strerror}: {error.filename}",
        hint="Run gpudoctor as the user of that process, or as root.",
    )

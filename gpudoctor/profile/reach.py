"""What can be had from a process that already runs, and why the rest cannot."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.missing import no_process
from gpudoctor.host.proc_files import read_stat
from gpudoctor.profile.session import regular

PROC = Path("/proc")
_CAP_SYS_PTRACE = 19
_LONGEST_SOCKET_FOLDER = 54
_MOST_OF_VERSION = 64 * 1024
_SHARED_NAMESPACES = ("mnt", "net", "pid")


@dataclass(frozen=True, slots=True)
class Reach:
    """A running Python process. `no_stacks` and `no_operators` say why not; None: it can be had.
    `socket_folder` is where its Kineto looks for a daemon ("": the abstract namespace). `may_enter`:
    it has loaded torch and sees the same files, so that a profiler inside of it is worth a try."""

    pid: int
    program: tuple[str, ...]
    cwd: str
    executable: str
    python_version: str | None
    torch_version: str | None
    owner: int
    py_spy: str | None
    no_stacks: str | None
    no_operators: str | None
    socket_folder: str = ""
    may_enter: bool = False


def reach(pid: int, proc: Path = PROC) -> Reach:
    """Looks at process `pid` without touching it.

    Raises:
        GpuDoctorError: there is no such process, or it is over already.
    """
    folder = proc / str(pid)
    try:
        program = _words(folder / "cmdline")
        owner = folder.stat().st_uid
    except OSError as error:
        raise no_process(pid, proc) from error
    if not program:
        raise GpuDoctorError(
            f"process {pid} has no program",
            cause="It is a kernel thread, or a zombie that has ended already.",
        )
    maps, denied = _maps(folder)
    py_spy = shutil.which("py-spy", path=search_path())
    environment = _environment(folder)
    return Reach(
        pid=pid,
        program=program,
        cwd=_link(folder / "cwd"),
        executable=_link(folder / "exe"),
        python_version=_python_version(folder, maps),
        torch_version=_torch_version(folder, maps),
        owner=owner,
        py_spy=py_spy,
        no_stacks=denied or _why_no_stacks(folder, maps, owner, py_spy, proc),
        no_operators=denied or _why_no_operators(folder, maps, environment, owner, proc),
        may_enter="/torch/lib/libtorch" in maps and _other_namespace(folder, proc) is None,
        socket_folder=(environment or {}).get("KINETO_IPC_SOCKET_DIR", ""),
    )


def runs(pid: int) -> bool:
    """Whether process `pid` still runs; one that only waits for its parent to notice its end does not."""
    stat = read_stat(PROC, pid)
    return stat is not None and stat.state not in ("Z", "X")


def children(pid: int, proc: Path = PROC) -> tuple[int, ...]:
    """The processes that `pid` started and that still run, in the order of their start."""
    found = []
    for task in (proc / str(pid) / "task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except (OSError, ValueError):
            continue
    return tuple(sorted(found))


def search_path() -> str:
    """Where py-spy is looked for: beside gpudoctor first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _words(path: Path) -> tuple[str, ...]:
    data = path.read_bytes().rstrip(b"\0")
    return tuple(data.decode("utf-8", "replace").split("\0")) if data else ()


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _maps(folder: Path) -> tuple[str, str | None]:
    try:
        return (folder / "maps").read_text(errors="replace"), None
    except OSError:
        return (
            "",
            "it may not be looked into: run gpudoctor as its owner or as root (CAP_SYS_PTRACE)",
        )


def _environment(folder: Path) -> dict[str, str] | None:
    try:
        pairs = [word.partition("=") for word in _words(folder / "environ")]
    except OSError:
        return None
    return {name: value for name, _, value in pairs}


def _python_version(folder: Path, maps: str) -> str | None:
    found = re.search(r"python(3\.\d+)", _link(folder / "exe")) or re.search(
        r"/(?:lib)?python(3\.\d+)[./]", maps
    )
    return found[1] if found else None


def _torch_version(folder: Path, maps: str) -> str | None:
    library = re.search(r"(/\S.*)/torch/lib/libtorch\S*\.so", maps)
    if library is None:
        return None
    file = folder / "root" / library[1].lstrip("/") / "torch" / "version.py"
    try:
        # The process says by its maps which file this is: it may be a pipe, or end nowhere.
        text = regular(file)[:_MOST_OF_VERSION].decode("utf-8", "replace")
    except (OSError, GpuDoctorError, ValueError):
        return None
    found = re.search(r"__version__ = '([^']+)'", text)
    return found[1] if found else None


def why_no_stacks(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Why py-spy cannot look into a process of ours that lets us; None: it can be tried."""
    if shutil.which("py-spy", path=search_path()) is None:
        return "py-spy is not installed beside gpudoctor (pip install py-spy)"
    scope = _number(proc / "sys/kernel/yama/ptrace_scope")
    # With 1 the runner names us as the one who may; with 2 and 3 it cannot.
    if scope >= 2 and not _has_ptrace_right(proc):
        return f"kernel.yama.ptrace_scope is {scope}: only root may look into a process"
    return None if (proc / str(pid)).exists() else "the process has ended"


def _why_no_stacks(
    folder: Path, maps: str, owner: int, py_spy: str | None, proc: Path
) -> str | None:
    if "python" not in Path(_link(folder / "exe")).name and "/libpython" not in maps:
        return "it is not a Python process"
    if py_spy is None:
        return "py-spy is not installed beside gpudoctor (pip install py-spy)"
    if _has_ptrace_right(proc):
        return None
    if owner != os.geteuid():
        return "it belongs to another user: run gpudoctor as that user or as root (CAP_SYS_PTRACE)"
    scope = _number(proc / "sys/kernel/yama/ptrace_scope")
    if scope:
        return (
            f"kernel.yama.ptrace_scope is {scope}, so only root may look into a process that it did "
            "not start: run gpudoctor as root"
        )
    return None


def _why_no_operators(
    folder: Path, maps: str, environment: dict[str, str] | None, owner: int, proc: Path
) -> str | None:
    if "/torch/lib/libtorch" not in maps:
        return "it has not loaded torch"
    if environment is None or "KINETO_USE_DAEMON" not in environment:
        return (
            "it was not started with KINETO_USE_DAEMON=1 (with --inject, torch's profiler is started "
            "inside of it)"
        )
    sockets = environment.get("KINETO_IPC_SOCKET_DIR", "")
    if len(sockets) > _LONGEST_SOCKET_FOLDER:
        return f"its KINETO_IPC_SOCKET_DIR is longer than {_LONGEST_SOCKET_FOLDER} characters"
    if owner != os.geteuid() and (sockets or os.geteuid() != 0):
        return "it belongs to another user: run gpudoctor as that user"
    if (kind := _other_namespace(folder, proc)) is not None:
        return f"it lives in another container (its {kind} namespace is not ours)"
    return None


def _other_namespace(folder: Path, proc: Path) -> str | None:
    for kind in _SHARED_NAMESPACES:
        if _link(folder / "ns" / kind) != _link(proc / "self/ns" / kind):
            return kind
    return None


def _has_ptrace_right(proc: Path) -> bool:
    try:
        status = (proc / "self/status").read_text()
    except OSError:
        return False
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_SYS_PTRACE & 1)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0

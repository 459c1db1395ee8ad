"""Decides whether a process may and can be entered, and says exactly why not. Changes nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.host.lineage import user_name
from gpudoctor.host.missing import no_process
from gpudoctor.host.proc_files import Stat, parse_status, read_stat, read_text
from gpudoctor.reclaim.elf import NotElfError, addresses, mapped_files
from gpudoctor.reclaim.machines import KNOWN, why_not

PROC = Path("/proc")
FUNCTIONS = (
    "Py_AddPendingCall",
    "Py_IsInitialized",
    "PyGILState_Check",
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyRun_SimpleString",
)
LIBC_FUNCTIONS = ("madvise", "mmap", "mprotect", "pthread_create", "pthread_detach", "pthread_self")
# Only free-threaded builds export it.
_FREE_THREADED = "_Py_MergeZeroLocalRefcount"
_CAP_SYS_PTRACE = 19
_LIBC = re.compile(r"/(?:libc|libpthread|ld-musl)[-.]")
_PATIENCE_S = 2.0
_OLDEST, _NEWEST = (3, 9), (3, 13)
_VERSION = re.compile(r"python(\d)\.(\d+)")
_AGENT_HINT = "A job that runs with GPUDOCTOR_AGENT=1 can be reached without."
_STATES = {
    "T": ("it is stopped", "Wake it with `kill -CONT {pid}` or `fg` first."),
    "t": ("somebody debugs it", "Detach the debugger first."),
    "Z": ("it has ended and waits for its parent", "There is nothing left in it to free."),
    "X": ("it has ended", "There is nothing left in it to free."),
    "D": ("it waits inside the kernel, where it cannot be stopped", "Try again later."),
}


@dataclass(frozen=True, slots=True)
class Entrance:
    """A process that can be entered: its identity, and where its functions are."""

    pid: int
    start_ticks: int
    functions: dict[str, int]
    version: tuple[int, int]


def entrance(pid: int, *, root: Path = PROC) -> Entrance:
    """The way into `pid`.

    Raises:
        GpuDoctorError: there is none, with the reason and what to do.
    """
    machine = os.uname().machine
    untested = why_not(machine)
    if untested is not None:
        raise _refused(pid, untested, _AGENT_HINT, ExitCode.UNAVAILABLE)
    stat = _settled(root, pid)
    if stat is None:
        raise no_process(pid, root)
    status = parse_status(read_text(root / str(pid) / "status") or "")
    _check_state(stat, status)
    _check_rights(pid, status, root)
    _check_oddities(pid, status)
    functions, version = _functions(pid, root, KNOWN[machine].elf_machine)
    return Entrance(pid, stat.start_ticks, functions, version)


def _settled(root: Path, pid: int) -> Stat | None:
    """Its stat, once it no longer stands still for a moment: for a disk, a child, another visitor."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        stat = read_stat(root, pid)
        if stat is None or stat.state not in "Dt" or time.monotonic() > until:
            return stat
        time.sleep(0.005)


def _refused(
    pid: int, cause: str, hint: str | None, code: ExitCode = ExitCode.USAGE
) -> GpuDoctorError:
    message = f"process {pid} cannot be entered"
    return GpuDoctorError(message, cause=cause, hint=hint, exit_code=code)


def _check_state(stat: Stat, status: dict[str, str]) -> None:
    if stat.state in _STATES:
        cause, hint = _STATES[stat.state]
        raise _refused(stat.pid, cause, hint.format(pid=stat.pid))
    tracer = status.get("TracerPid", "0")
    if tracer != "0":
        raise _refused(stat.pid, f"process {tracer} debugs it", "Detach the debugger first.")


def _check_rights(pid: int, status: dict[str, str], root: Path) -> None:
    own = parse_status(read_text(root / "self/status") or "")
    if int(own.get("CapEff", "0"), 16) >> _CAP_SYS_PTRACE & 1:
        scope = _ptrace_scope(root)
        if scope == 3:
            cause = "kernel.yama.ptrace_scope is 3: nobody may, until the next boot"
            raise _refused(pid, cause, None, ExitCode.UNAVAILABLE)
        return
    owner = status.get("Uid", "").split()[:1]
    if owner != [str(os.getuid())]:
        name = user_name(int(owner[0])) if owner else "another user"
        hint = f"Ask {name}, or run: sudo gpudoctor empty-cache {pid}"
        raise _refused(pid, f"it belongs to {name}", hint, ExitCode.UNAVAILABLE)
    scope = _ptrace_scope(root)
    if scope:
        cause = f"kernel.yama.ptrace_scope is {scope}: only " + (
            "a parent may enter its children" if scope == 1 else "root may"
        )
        hint = f"Run: sudo gpudoctor empty-cache {pid}\n{_AGENT_HINT}"
        raise _refused(pid, cause, hint, ExitCode.UNAVAILABLE)
    if not os.access(root / str(pid) / "mem", os.R_OK):
        cause = "the kernel keeps its memory closed (it changed its user or is marked not dumpable)"
        hint = f"Run: sudo gpudoctor empty-cache {pid}"
        raise _refused(pid, cause, hint, ExitCode.UNAVAILABLE)


def _ptrace_scope(root: Path) -> int:
    text = read_text(root / "sys/kernel/yama/ptrace_scope")
    return int(text) if text and text.strip().isdigit() else 0


def _check_oddities(pid: int, status: dict[str, str]) -> None:
    segv = 1 << (signal.SIGSEGV - 1)
    if int(status.get("SigIgn", "0"), 16) & segv:
        # The kernel would reset that to the default when a call's return faults, as it must.
        raise _refused(pid, "it ignores SIGSEGV, by which a call's return is noticed", None)
    if "shstk" in status.get("x86_Thread_features", ""):
        raise _refused(pid, "it runs with a shadow stack, with which this is untested", None)


def _functions(pid: int, root: Path, elf_machine: int) -> tuple[dict[str, int], tuple[int, int]]:
    folder = root / str(pid)
    maps = read_text(folder / "maps") or ""
    found: dict[str, int] = {}
    version: tuple[int, int] | None = None
    executable = _link(folder / "exe")
    for mapping in mapped_files(maps):
        is_python = "python" in mapping.path.rpartition("/")[2] or mapping.path == executable
        if not is_python and not _LIBC.search(mapping.path):
            continue
        wanted = (*FUNCTIONS, _FREE_THREADED) if is_python else LIBC_FUNCTIONS
        try:
            here = addresses(folder, mapping, wanted, elf_machine)
        except (NotElfError, OSError, StopIteration):
            continue
        if is_python and FUNCTIONS[0] in here:
            version = _version(mapping.path) or version
        found = here | found
    return found, _checked(pid, found, version)


def _checked(pid: int, found: dict[str, int], version: tuple[int, int] | None) -> tuple[int, int]:
    if _FREE_THREADED in found:
        cause = "its Python is a free-threaded build, with which this is untested"
        raise _refused(pid, cause, "End it with `gpudoctor kill` if its memory is needed.")
    missing = [name for name in (*FUNCTIONS, *LIBC_FUNCTIONS) if name not in found]
    if missing:
        cause = "it is no CPython" if FUNCTIONS[0] in missing else f"it lacks {', '.join(missing)}"
        raise _refused(pid, cause, "Only a running CPython can be asked to empty its cache.")
    if version is None or not _OLDEST <= version <= _NEWEST:
        name = "of an unknown version" if version is None else f"{version[0]}.{version[1]}"
        cause = f"its Python is {name}; tested are 3.9 to 3.13"
        raise _refused(pid, cause, "End it with `gpudoctor kill` if its memory is needed.")
    return version


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _version(path: str) -> tuple[int, int] | None:
    found = _VERSION.search(path.rpartition("/")[2])
    return (int(found.group(1)), int(found.group(2))) if found else None

"""The local machine by /proc: what the operating system says of processes and of the host."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from gpudoctor.host.namesakes import is_namesake, possible
from gpudoctor.host.proc_files import whole_number
from gpudoctor.model.process import ProcessFacts, ProcessKey
from gpudoctor.model.snapshot import HostReading
from gpudoctor.model.values import Value

_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "uninterruptible",
    "T": "stopped",
    "t": "traced",
    "Z": "zombie",
    "X": "dead",
    "I": "idle",
}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Larger than any file that is read here, so that one call gives all of it.
_WHOLE = 1 << 17
# Four files of /proc for each process and sample are most of a sample's cost; one is enough.
LASTING_S = 10.0
# A clock that is off by less is not set anew but slowed or hurried, and its boot time stays.
_STEP_S = 0.4


class _Lasting(Value, frozen=True):
    command: tuple[str, ...]
    uid: int | None
    user: str | None
    working_directory: str | None
    read_at: float
    namesake: bool


class LocalHost:
    """Implements host.api.Host. `root` is where /proc is looked for (tests use a fixture tree)."""

    def __init__(
        self, root: str | os.PathLike[str] = "/proc", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._root = os.fspath(root)
        self._clock = clock
        self._cpu_before: tuple[float, float] | None = None
        self._spent: dict[ProcessKey, tuple[float, float]] = {}
        self._lasting: dict[ProcessKey, _Lasting] = {}
        self._booted = self._boot_time()
        self._offset = _clock_offset()
        self._confusable = possible(Path(self._root))

    def reading(self) -> HostReading:
        """CPU (since the last call), memory and load of the machine."""
        total, available = self._memory()
        used = None if total is None or available is None else total - available
        return HostReading(
            os.uname().nodename, os.cpu_count(), self._cpu_ratio(), used, total, self._load()
        )

    def processes(self, pids: frozenset[int]) -> dict[int, ProcessFacts]:
        """Facts of those of `pids` that exist here, and are not only namesakes of the host's.

        CPU is since the last call, at first since birth.
        """
        self._follow_clock()
        now = self._clock()
        found: dict[int, ProcessFacts] = {}
        spent: dict[ProcessKey, tuple[float, float]] = {}
        for pid in pids:
            facts = self._process(pid, now)
            if facts is not None:
                found[pid] = facts
                if facts.cpu_seconds is not None:
                    spent[facts.key] = (now, facts.cpu_seconds)
        self._spent = spent
        if len(self._lasting) > 2 * len(found) + 64:
            self._lasting = {key: self._lasting[key] for key in spent}
        return found

    def _process(self, pid: int, now: float) -> ProcessFacts | None:
        folder = f"{self._root}/{pid}"
        stat = _read(f"{folder}/stat")
        # A name may hold spaces and parentheses: the fields begin after the last one.
        end = stat.rfind(")")
        fields = stat[end + 2 :].split()
        if len(fields) < 22:
            return None
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        started = None if self._booted is None else self._booted + int(fields[19]) / _TICKS
        key = ProcessKey(pid, started)
        lasting = self._lasting_facts(key, folder, now)
        if lasting.namesake:
            return None
        return ProcessFacts(
            key=key,
            name=stat[stat.find("(") + 1 : end],
            command=lasting.command,
            user=lasting.user,
            uid=lasting.uid,
            parent_pid=int(fields[1]),
            state=_STATES.get(fields[0], fields[0]),
            cpu_ratio=self._share(key, cpu, now),
            cpu_seconds=cpu,
            memory_used_bytes=int(fields[21]) * _PAGE,
            working_directory=lasting.working_directory,
        )

    def _lasting_facts(self, key: ProcessKey, folder: str, now: float) -> _Lasting:
        """What seldom changes, read anew every LASTING_S seconds: an exec or a chdir is seen late."""
        known = self._lasting.get(key)
        if known is None or not 0 <= now - known.read_at < LASTING_S:
            namesake = self._confusable and is_namesake(Path(self._root), key.pid)
            known = self._lasting[key] = _lasting_facts(folder, now, namesake)
        return known

    def _share(self, key: ProcessKey, cpu_s: float, now: float) -> float | None:
        """CPU per wall-clock second (1.0 is one core), since the last look or, as ps does, since birth."""
        if key in self._spent:
            at, before = self._spent[key]
            return max(0.0, cpu_s - before) / (now - at) if now > at else None
        if key.started is None or now <= key.started:
            return None
        return cpu_s / (now - key.started)

    def _follow_clock(self) -> None:
        """Take up the kernel's new boot time where the clock was set anew: all start times moved with it."""
        offset = _clock_offset()
        if abs(offset - self._offset) > _STEP_S:
            self._offset, self._booted = offset, self._boot_time()
            # They hold moments of the old clock.
            self._spent, self._lasting = {}, {}

    def _boot_time(self) -> float | None:
        """Seconds since the epoch, whole: every program that asks the kernel gets the same number,

        so that a start time computed from it identifies a process across programs.
        """
        for line in _read(f"{self._root}/stat").splitlines():
            if line.startswith("btime "):
                return _number(line.removeprefix("btime "))
        return None

    def _cpu_ratio(self) -> float | None:
        first = _read(f"{self._root}/stat").partition("\n")[0].split()
        if len(first) < 6 or first[0] != "cpu":
            return None
        # Guest time is already in user and nice.
        read = [_number(value) for value in first[1:9]]
        times = [value for value in read if value is not None]
        if len(times) < len(read):
            return None
        total, idle = sum(times), times[3] + times[4]
        before, self._cpu_before = self._cpu_before, (total, idle)
        if before is None or total <= before[0]:
            return None
        return min(max(1 - (idle - before[1]) / (total - before[0]), 0.0), 1.0)

    def _memory(self) -> tuple[int | None, int | None]:
        found: dict[str, int | None] = {}
        for line in _read(f"{self._root}/meminfo").splitlines():
            name, _, value = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                kibibytes = whole_number(value.partition("kB")[0].strip())
                found[name] = None if kibibytes is None else kibibytes * 1024
        return found.get("MemTotal"), found.get("MemAvailable")

    def _load(self) -> tuple[float, float, float] | None:
        values = _read(f"{self._root}/loadavg").split()
        read = [number for number in map(_number, values[:3]) if number is not None]
        return (read[0], read[1], read[2]) if len(read) == 3 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lasting_facts(folder: str, now: float, namesake: bool) -> _Lasting:
    uid = _owner(folder)
    command = tuple(part for part in _read(f"{folder}/cmdline").split("\0") if part)
    user = None if uid is None else user_name(uid)
    return _Lasting(command, uid, user, _link(f"{folder}/cwd"), now, namesake)


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The name of the user `uid`, or the number where nobody has it (a container's user)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(folder: str) -> int | None:
    try:
        return os.stat(folder).st_uid  # noqa: PTH116 - a Path for each pid and sample costs three times
    except OSError:
        return None


def _link(path: str) -> str | None:
    try:
        # A folder's name may be no UTF-8, and JSON has no place for such bytes.
        return os.fsencode(os.readlink(path)).decode("utf-8", "backslashreplace")  # noqa: PTH115
    except OSError:
        return None


def _clock_offset() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _read(path: str) -> str:
    """The text of a file of /proc, empty where it cannot be read or its process has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = os.read(descriptor, _WHOLE)
        while len(text) % _WHOLE == 0 and (more := os.read(descriptor, _WHOLE)):
            text += more
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return text.decode("utf-8", "backslashreplace")

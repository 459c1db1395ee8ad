"""Reads and parses the files of /proc/PID. Parsing is apart from reading, and the root can be moved."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.model.lineage import Placement

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_CONTAINER = re.compile(r"(?:docker|cri-containerd|crio|libpod|containerd)[-/]([0-9a-f]{64})")
_BARE_CONTAINER = re.compile(r"/(?:docker|kubepods[^/]*(?:/[^/]+)*)/([0-9a-f]{64})(?:/|$)")
_LOGIN = re.compile(r"/session-([\w-]+)\.scope")
_SLURM = re.compile(r"/(?:slurm|slurmstepd\.scope|system\.slice/slurmstepd\.scope)[^ ]*?/job_(\d+)")
_SYSTEM_UNIT = re.compile(r"^/system\.slice/(?:.*/)?([^/]+\.service)(?:/|$)")
_USER_UNIT = re.compile(r"/user@\d+\.service/(?:.*/)?([^/]+\.(?:service|scope))(?:/|$)")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that are used; `terminal` is the device's number, 0 for none."""

    pid: int
    name: str
    state: str
    parent_pid: int
    group: int
    session: int
    terminal: int
    cpu_ticks: int
    start_ticks: int


def parse_stat(text: str) -> Stat:
    """/proc/PID/stat. The name may hold spaces and brackets, so the last bracket ends it."""
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = tail.split()
    numbers = [int(value) for value in fields[1:20]]
    return Stat(
        pid=int(pid),
        name=name,
        state=fields[0],
        parent_pid=numbers[0],
        group=numbers[1],
        session=numbers[2],
        terminal=numbers[3],
        cpu_ticks=numbers[10] + numbers[11],
        start_ticks=numbers[18],
    )


def whole_number(text: str | None) -> int | None:
    """`text` as a number that fits into 64 bits; None for what only looks like one."""
    plain = text is not None and text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if plain and text else None


def parse_status(text: str) -> dict[str, str]:
    """/proc/PID/status as a mapping."""
    lines = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in lines}


def parse_cgroup(text: str) -> Placement:
    """/proc/PID/cgroup: version 2 has one line, version 1 one per controller; the richest path wins."""
    paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
    best = max(paths, key=len, default="")
    container = _CONTAINER.search(best) or _BARE_CONTAINER.search(best)
    return Placement(
        path=best,
        system_unit=_first(_SYSTEM_UNIT, best),
        user_unit=_first(_USER_UNIT, best),
        login_session=_first(_LOGIN, best),
        slurm_job=_first(_SLURM, best),
        container=container.group(1) if container else None,
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group(1) if found else None


def read_text(path: Path | str) -> str | None:
    """The file's text, or None where it is gone or closed to us.

    What is read again and again comes as a string: Python 3.12.1 was seen to keep the parts of every
    Path that it took apart for as long as it runs.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read().decode("utf-8", "replace")
    except OSError:
        return None


def read_stat(root: Path, pid: int) -> Stat | None:
    """The Stat of `pid`, or None when it is gone."""
    text = read_text(f"{root}/{pid}/stat")
    try:
        return parse_stat(text) if text else None
    except (ValueError, IndexError):  # cut off, or not the kernel's
        return None


def read_words(path: Path) -> tuple[str, ...]:
    """A file of words that end in NUL: cmdline and environ."""
    text = read_text(path)
    return tuple(word for word in text.split("\0") if word) if text else ()


def read_environment(root: Path, pid: int) -> dict[str, str] | None:
    """The environment that the process was started with, or None where it may not be read."""
    text = read_text(root / str(pid) / "environ")
    if text is None:
        return None
    return dict(_pair(word) for word in text.split("\0") if "=" in word)


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def read_links(folder: Path) -> dict[str, str] | None:
    """The open descriptors of /proc/PID/fd with what they point to, or None where closed to us."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return None
    links: dict[str, str] = {}
    for entry in entries:
        try:
            links[entry.name] = str(entry.readlink())
        except OSError:
            continue
    return links


def boot_time(root: Path) -> float:
    """Seconds since the epoch at which the machine was started."""
    for line in (read_text(root / "stat") or "").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0

"""How much more host memory a process may take: the machine's, and its control groups'."""

from __future__ import annotations

from pathlib import Path

from gpudoctor.host.proc_files import read_text

# A v1 control group without a limit names the largest page-aligned number instead of "max".
_NO_LIMIT = 1 << 60


def memory_headroom(pid: int, root: Path = Path("/")) -> int | None:
    """Bytes that `pid` may still take, None where the machine does not tell.

    The least of what is available on the machine and of what is left in each control group above
    the process; what a group holds of files counts as free, because the kernel gives it up first.
    """
    found = [available(root), *(_left(folder) for folder in _groups(pid, root))]
    return min((one for one in found if one is not None), default=None)


def available(root: Path = Path("/")) -> int | None:
    """MemAvailable of the machine in bytes."""
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups(pid: int, root: Path) -> list[Path]:
    top, inner = root / "sys/fs/cgroup", ""
    for line in (read_text(root / f"proc/{pid}/cgroup") or "").splitlines():
        row = line.split(":", 2)
        if len(row) == 3 and "memory" in row[1].split(","):
            top, inner = root / "sys/fs/cgroup/memory", row[2]
            break
        if len(row) == 3 and row[1] == "":
            inner = row[2]
    here = top / inner.strip("/")
    return [here, *(folder for folder in here.parents if folder.is_relative_to(top))]


def _left(folder: Path) -> int | None:
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit = (read_text(folder / limit_name) or "").strip()
        used = (read_text(folder / used_name) or "").strip()
        if limit.isdigit() and used.isdigit() and int(limit) < _NO_LIMIT:
            return max(0, int(limit) - int(used) + _file_cache(folder))
    return None


def _file_cache(folder: Path) -> int:
    for line in (read_text(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdigit():
            return int(value)
    return 0

"""Reads where processes come from: parents, terminal, session, unit, job, container, open files."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable
from pathlib import Path

from gpudoctor.host.holders import only_gpu_files
from gpudoctor.host.jupyter import connection_file, notebook
from gpudoctor.host.keepers import kept
from gpudoctor.host.proc_files import (
    TICKS_PER_SECOND,
    Stat,
    boot_time,
    parse_cgroup,
    parse_status,
    read_environment,
    read_links,
    read_stat,
    read_text,
    read_words,
    whole_number,
)
from gpudoctor.host.sockets import listening_ports
from gpudoctor.model.lineage import Ancestor, HostLook, Lineage, Placement
from gpudoctor.model.process import ProcessKey

MARKERS = (
    "TORCHELASTIC_RUN_ID",
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "JPY_PARENT_PID",
    "SLURM_JOB_ID",
    "TMUX",
    "STY",
    "SSH_CONNECTION",
    "RAY_JOB_ID",
)
_INITIAL_NAMESPACE = "pid:[4026531836]"
_SIGHUP_BIT = 1
_MOST_ANCESTORS = 64


class LineageReader:
    """Reads lineages below `root` (/proc) and logins below `run` (/run)."""

    def __init__(self, root: Path = Path("/proc"), run: Path = Path("/run")) -> None:
        self._root = root
        self._run = run
        self._boot = boot_time(root)

    def look(self, pids: Iterable[int]) -> HostLook:
        """The lineage of those of `pids` that exist, at this moment."""
        wanted = sorted(set(pids))
        found = {pid: self.read(pid) for pid in wanted}
        return HostLook(
            at=time.time(),
            processes=tuple(one for one in found.values() if one is not None),
            own_uid=os.getuid(),
            initial_namespace=in_initial_namespace(self._root),
            may_read_all=os.geteuid() == 0,
            unreachable=frozenset(pid for pid, one in found.items() if one is None and exists(pid)),
        )

    def read(self, pid: int) -> Lineage | None:
        """The lineage of `pid`, or None when it does not exist or vanished meanwhile."""
        stat = read_stat(self._root, pid)
        if stat is None:
            return None
        folder = self._root / str(pid)
        status = parse_status(read_text(folder / "status") or "")
        links = read_links(folder / "fd")
        environment = read_environment(self._root, pid)
        command = read_words(folder / "cmdline")
        connection = connection_file(command)
        alone = len(status.get("NSpid", "0").split()) == 1
        ancestors = self._ancestors(stat)
        placement = parse_cgroup(read_text(folder / "cgroup") or "")
        uid = _first_number(status.get("Uid"))
        return Lineage(
            key=ProcessKey(pid, self._boot + stat.start_ticks / TICKS_PER_SECOND),
            start_ticks=stat.start_ticks,
            name=stat.name,
            state=stat.state,
            parent_pid=stat.parent_pid,
            group=stat.group,
            session=stat.session,
            terminal=stat.terminal != 0,
            cpu_seconds=stat.cpu_ticks / TICKS_PER_SECOND,
            command=command,
            uid=uid,
            user=user_name(uid),
            ancestors=ancestors,
            session_leader_alive=self._alive(stat.session),
            thread_states=self._thread_states(pid),
            switches=_first_number(status.get("voluntary_ctxt_switches")),
            wait_channel=_wait_channel(folder),
            tracer_pid=_first_number(status.get("TracerPid")) or None,
            ignores_hangup=_ignores_hangup(status.get("SigIgn", "0")),
            same_namespace=alone,
            deleted_terminal=_deleted_terminal(links),
            gpu_files=None if links is None else only_gpu_files(links.values()),
            listening=listening_ports(folder, links or {}),
            markers=_kept(environment),
            marker_pids_alive=self._alive_markers(environment),
            connection_file_exists=_exists(connection),
            notebook=notebook(connection) if connection and alone else None,
            placement=placement,
            login_closed=self._login_closed(placement),
            container_kept=kept(self._root, placement, ancestors),
        )

    def _ancestors(self, stat: Stat) -> tuple[Ancestor, ...]:
        chain: list[Ancestor] = []
        pid = stat.parent_pid
        while pid > 0 and len(chain) < _MOST_ANCESTORS:
            above = read_stat(self._root, pid)
            if above is None:
                break
            folder = self._root / str(pid)
            status = parse_status(read_text(folder / "status") or "")
            chain.append(
                Ancestor(
                    pid=pid,
                    name=above.name,
                    command=read_words(folder / "cmdline"),
                    uid=_first_number(status.get("Uid")),
                    session=above.session,
                    terminal=above.terminal != 0,
                )
            )
            pid = above.parent_pid
        return tuple(chain)

    def _alive(self, pid: int) -> bool:
        """Whether `pid` runs; session 0 belongs to a leader outside our namespace."""
        if pid == 0:
            return True
        stat = read_stat(self._root, pid)
        return stat is not None and stat.state not in "ZX"

    def _alive_markers(self, environment: dict[str, str] | None) -> tuple[int, ...]:
        server = whole_number((environment or {}).get("JPY_PARENT_PID"))
        return (server,) if server is not None and self._alive(server) else ()

    def _thread_states(self, pid: int) -> tuple[str, ...]:
        try:
            threads = list((self._root / str(pid) / "task").iterdir())
        except OSError:
            return ()
        stats = (read_text(thread / "stat") for thread in threads)
        fields = (text.rpartition(")")[2].split() for text in stats if text)
        return tuple(words[0] for words in fields if words)

    def _login_closed(self, placement: Placement) -> bool:
        if placement.login_session is None or not (self._run / "systemd/sessions").is_dir():
            return False
        record = read_text(self._run / "systemd/sessions" / placement.login_session)
        return record is None or "STATE=closing" in record.splitlines()


def in_initial_namespace(root: Path = Path("/proc")) -> bool:
    """Whether our pids are the machine's own; False also where the kernel does not tell."""
    try:
        return str((root / "self/ns/pid").readlink()) == _INITIAL_NAMESPACE
    except OSError:
        return False


def exists(pid: int) -> bool:
    """Whether some process has this pid, also where /proc hides it (hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def user_name(uid: int | None) -> str | None:
    """The login name of `uid`, its number where it has none, None when it is not known."""
    if uid is None:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _first_number(text: str | None) -> int | None:
    words = (text or "").split()
    return whole_number(words[0]) if words else None


def _ignores_hangup(mask: str) -> bool:
    try:
        return bool(int(mask, 16) & _SIGHUP_BIT)
    except ValueError:
        return False


def _wait_channel(folder: Path) -> str | None:
    text = read_text(folder / "wchan")
    return text if text and text != "0" else None


def _deleted_terminal(links: dict[str, str] | None) -> str | None:
    targets = ((links or {}).get(number, "") for number in ("0", "1", "2"))
    return next(
        (one for one in targets if one.startswith("/dev/pts/") and "(deleted)" in one), None
    )


def _kept(environment: dict[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    if environment is None:
        return None
    return tuple((name, environment[name]) for name in MARKERS if name in environment)


def _exists(path: Path | None) -> bool | None:
    try:
        return None if path is None else path.exists()
    except OSError:
        return None

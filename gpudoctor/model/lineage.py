"""Where a process comes from, what keeps it alive, and what it holds: the evidence for a verdict."""

from __future__ import annotations

from gpudoctor.model.process import ProcessKey
from gpudoctor.model.values import Value


class Ancestor(Value, frozen=True):
    """One process above another, nearest first. `terminal` is True where it has a controlling one."""

    pid: int
    name: str
    command: tuple[str, ...] = ()
    uid: int | None = None
    session: int | None = None
    terminal: bool = False


class Placement(Value, frozen=True):
    """What the path of a control group says: the unit, job, login or container that owns a process."""

    path: str = ""
    system_unit: str | None = None
    user_unit: str | None = None
    login_session: str | None = None
    slurm_job: str | None = None
    container: str | None = None


class Notebook(Value, frozen=True):
    """What a Jupyter server says of a kernel. `last_activity` is in seconds since the epoch.

    `connections` counts the browser tabs and other clients that are connected to it.
    """

    path: str | None
    state: str
    connections: int | None
    last_activity: float | None


class Lineage(Value, frozen=True):
    """All that /proc says of one process that matters for whether it is left over.

    `start_ticks` is field 22 of /proc/PID/stat, the exact half of its identity. `cpu_seconds` is
    user and system time, `switches` the voluntary context switches of all that it did so far.
    `thread_states` holds one letter per thread. `container_kept` says whether anything on the machine
    still looks after its container. A field is None where it may not be read.
    """

    key: ProcessKey
    start_ticks: int
    name: str
    state: str
    parent_pid: int
    group: int
    session: int
    terminal: bool
    cpu_seconds: float
    command: tuple[str, ...] = ()
    uid: int | None = None
    user: str | None = None
    ancestors: tuple[Ancestor, ...] = ()
    session_leader_alive: bool = True
    thread_states: tuple[str, ...] = ()
    switches: int | None = None
    wait_channel: str | None = None
    tracer_pid: int | None = None
    ignores_hangup: bool = False
    same_namespace: bool = True
    deleted_terminal: str | None = None
    gpu_files: tuple[str, ...] | None = None
    listening: tuple[int, ...] = ()
    markers: tuple[tuple[str, str], ...] | None = None
    marker_pids_alive: tuple[int, ...] = ()
    connection_file_exists: bool | None = None
    notebook: Notebook | None = None
    placement: Placement = Placement()
    login_closed: bool = False
    container_kept: bool | None = None

    def marker(self, name: str) -> str | None:
        """The value of an environment variable among those that are kept, or None."""
        return dict(self.markers or ()).get(name)

    @property
    def parent(self) -> Ancestor | None:
        """The process above this one, where it is visible."""
        return self.ancestors[0] if self.ancestors else None


class HostLook(Value, frozen=True):
    """The lineage of some processes at one moment, `at` in seconds since the epoch.

    `initial_namespace` is True where every process of the machine has a pid that we can see;
    `may_read_all` where no other user's files are closed to us. `unreachable` are pids that exist
    although /proc does not show them.
    """

    at: float
    processes: tuple[Lineage, ...]
    own_uid: int
    initial_namespace: bool
    may_read_all: bool
    unreachable: frozenset[int] = frozenset()

    def of(self, pid: int) -> Lineage | None:
        """The process with this pid, or None."""
        return next((one for one in self.processes if one.key.pid == pid), None)

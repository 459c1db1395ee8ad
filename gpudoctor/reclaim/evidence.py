"""Turns what was seen of a process into reasons. Pure: every reason quotes what it was read from."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.lineage import HostLook, Lineage
from gpudoctor.model.orphan import Reason, Weight
from gpudoctor.reclaim import origins
from gpudoctor.reclaim.protection import daemon_of, service_of
from gpudoctor.units import duration

ABANDONED_STOP_S = 600.0
ABANDONED_NOTEBOOK_S = 3600.0
_STOPPED = "T"


def reasons(now: Lineage, earlier: Lineage | None, apart_s: float, at: float) -> tuple[Reason, ...]:
    """Everything that speaks for or against `now` being left over.

    `now` was seen `at` (seconds since the epoch), `earlier` `apart_s` seconds before.
    """
    return (
        *_strong(now),
        *_medium(now, earlier, apart_s),
        *_notebook(now, at),
        *_against(now),
        *_cautions(now),
    )


def _strong(now: Lineage) -> Iterator[Reason]:
    adopted = origins.adopted(now)
    parent = f"/proc/{now.key.pid}/stat: parent {now.parent_pid}"
    if origins.loader_alone(now):
        yield _high("loader-parent-died", "DataLoader worker whose training process died", parent)
    elif adopted and origins.is_rank(now):
        run = now.marker("TORCHELASTIC_RUN_ID")
        evidence = f"{parent}, TORCHELASTIC_RUN_ID={run}, rank {now.marker('RANK') or '?'}"
        yield _high("launcher-died", "torchrun worker whose launcher died", evidence)
    elif adopted and origins.is_remnant(now):
        title = now.command[0] if now.command else now.name
        yield _high("engine-died", "worker of an engine that died", f"{parent}, title {title}")
    server = origins.server_gone(now)
    if server is not None:
        text = "Jupyter kernel whose server is gone"
        yield _high("server-died", text, f"JPY_PARENT_PID={server} does not run")
    elif now.connection_file_exists is False:
        text = "Jupyter kernel that nobody can reach"
        yield _high("connection-file-gone", text, "its connection file was deleted")
    live = [state for state in now.thread_states if state not in "ZX"]
    if now.state == "Z" and live:
        evidence = f"/proc/{now.key.pid}/task: leader Z, {len(live)} threads alive"
        yield _high("leader-dead", "its main thread has ended, other threads go on", evidence)


def _medium(now: Lineage, earlier: Lineage | None, apart_s: float) -> Iterator[Reason]:
    pid = now.key.pid
    if origins.adopted(now):
        name = now.parent.name if now.parent else "init"
        yield _middle("parent-died", "its parent died", f"parent is {now.parent_pid} ({name})")
    elif earlier is not None and earlier.parent_pid != now.parent_pid:
        evidence = f"parent was {earlier.parent_pid}, is {now.parent_pid}"
        yield _middle("parent-died", "its parent died while we watched", evidence)
    if not now.terminal and now.deleted_terminal is not None:
        yield _middle("terminal-gone", "its terminal was closed", now.deleted_terminal)
    elif now.session != pid and not now.session_leader_alive:
        evidence = f"leader {now.session} of its session is gone"
        yield _middle("terminal-gone", "the session that it was started in has ended", evidence)
    if now.login_closed:
        evidence = f"login session {now.placement.login_session} is closing or gone"
        yield _middle("login-closed", "the login that it belongs to was closed", evidence)
    if now.container_kept is False:
        container = (now.placement.container or "")[:12]
        evidence = f"container {container}: no shim above it, no command names it"
        yield _middle("container-gone", "nothing looks after its container any more", evidence)
    if now.state == _STOPPED:
        yield _stopped(now, earlier, apart_s)
    stuck = "D" in now.thread_states and earlier is not None and "D" in earlier.thread_states
    if stuck and now.cpu_seconds == (earlier.cpu_seconds if earlier else None):
        where = now.wait_channel or "an unknown place"
        text = "it waits inside the kernel and cannot be killed"
        yield _middle("in-kernel", text, f"state D in {where} for at least {duration(apart_s)}")


def _notebook(now: Lineage, at: float) -> Iterator[Reason]:
    book = now.notebook
    if book is None or book.state not in ("idle", "starting") or book.last_activity is None:
        return
    idle = at - book.last_activity
    name = book.path or "a kernel without a notebook"
    evidence = f"{name}: {book.connections} connected, idle for {duration(idle)}"
    if book.connections == 0 and idle >= ABANDONED_NOTEBOOK_S:
        yield _middle("notebook-closed", "a Jupyter kernel that nobody has open", evidence)
    elif idle >= ABANDONED_NOTEBOOK_S:
        text = "a Jupyter kernel that has had nothing to do"
        yield Reason("notebook-idle", Weight.NOTE, text, evidence)


def _stopped(now: Lineage, earlier: Lineage | None, apart_s: float) -> Reason:
    long = earlier is not None and earlier.state == _STOPPED and apart_s >= ABANDONED_STOP_S
    evidence = f"/proc/{now.key.pid}/stat: state T (Ctrl-Z or SIGSTOP)"
    if long:
        return _high("stopped", f"it has been stopped for {duration(apart_s)} or longer", evidence)
    return _middle("stopped", "it is stopped and still holds its memory", evidence)


def _against(now: Lineage) -> Iterator[Reason]:
    why = daemon_of(now)
    if why is not None:
        yield Reason("daemon", Weight.AGAINST, "it belongs to the machine", f"{now.name}: {why}")
    unit = service_of(now)
    if unit is not None:
        text = "systemd runs it, and would start it again"
        yield Reason("service", Weight.AGAINST, text, f"cgroup {now.placement.path}")
    if now.placement.slurm_job is not None:
        text = f"it is part of Slurm job {now.placement.slurm_job}"
        yield Reason("slurm-job", Weight.AGAINST, text, f"cgroup {now.placement.path}")
    if now.state == "t" or now.tracer_pid is not None:
        evidence = f"TracerPid {now.tracer_pid or '?'}"
        yield Reason("traced", Weight.AGAINST, "somebody debugs it", evidence)
    holder = origins.hand(now)
    if holder is not None:
        evidence = f"ancestor {holder.pid} ({holder.name})"
        yield Reason("in-hand", Weight.AGAINST, "it runs in a live terminal or login", evidence)


def _cautions(now: Lineage) -> Iterator[Reason]:
    if now.ignores_hangup:
        text = "it was told to outlive its terminal (nohup)"
        yield Reason("nohup", Weight.CAUTION, text, "SigIgn holds SIGHUP")
    if now.listening and not origins.is_kernel(now):
        ports = ", ".join(str(port) for port in now.listening[:4])
        yield Reason("listens", Weight.CAUTION, "it may be a server", f"listens on port {ports}")


def progress(now: Lineage, earlier: Lineage, apart_s: float, gpu_busy: bool | None) -> Reason:
    """What the process did between two looks. `gpu_busy` is None where the GPU does not tell."""
    spent = now.cpu_seconds - earlier.cpu_seconds
    evidence = f"{duration(spent)} of CPU in {duration(apart_s)}, GPU " + {
        True: "busy",
        False: "idle",
        None: "use unknown",
    }.get(gpu_busy, "")
    if gpu_busy or spent > max(0.02, 0.01 * apart_s):
        return Reason("progress", Weight.NOTE, "it works", evidence)
    return Reason("no-progress", Weight.NOTE, "it does nothing", evidence)


def ghost(pid: int, holders: tuple[Lineage, ...], look: HostLook) -> tuple[Reason, ...]:
    """The reasons for memory whose owner, as the driver names it, no longer exists."""
    if not look.initial_namespace:
        text = "not visible from this container"
        return (Reason("not-visible", Weight.NOTE, text, f"no /proc/{pid} in this pid namespace"),)
    if pid in look.unreachable:
        text = "it exists, but /proc hides it from us"
        return (
            Reason("not-visible", Weight.NOTE, text, f"pid {pid} answers, /proc/{pid} does not"),
        )
    dead = _high(
        "owner-dead", "the driver names a process that no longer exists", f"no /proc/{pid}"
    )
    open_by = tuple(
        Reason(
            "held-by",
            Weight.NOTE,
            f"process {one.key.pid} ({one.name}) still has the GPU open",
            ", ".join(one.gpu_files or ()),
        )
        for one in holders
    )
    return (dead, *open_by)


def _high(name: str, text: str, evidence: str) -> Reason:
    return Reason(name, Weight.HIGH, text, evidence)


def _middle(name: str, text: str, evidence: str) -> Reason:
    return Reason(name, Weight.MEDIUM, text, evidence)

"""Lineages for tests: a python in a live terminal unless told otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpudoctor.model.lineage import Ancestor, HostLook, Lineage
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.orphans import Look
from tests.builders import AT, device, process, snapshot

INIT = Ancestor(1, "systemd", ("/sbin/init",), 0, 1)
SHELL = Ancestor(90, "bash", ("-bash",), 1000, 90, terminal=True)
SSHD = Ancestor(80, "sshd-session", ("sshd: ana@pts/3",), 1000, 80)
PYTHON = Ancestor(95, "python", ("python", "train.py"), 1000, 90, terminal=True)


def lineage(pid: int = 100, above: tuple[Ancestor, ...] = (INIT,), **changes: Any) -> Lineage:
    made = Lineage(
        key=ProcessKey(pid, AT - 60),
        start_ticks=1000,
        name="python",
        state="S",
        parent_pid=above[0].pid if above else 0,
        group=pid,
        session=pid,
        terminal=False,
        cpu_seconds=10.0,
        command=("python", "train.py"),
        uid=1000,
        user="ana",
        ancestors=above,
        thread_states=("S",),
        switches=10,
        markers=(),
        gpu_files=("/dev/nvidia0", "/dev/nvidiactl"),
    )
    return replace(made, **changes)


def look(*found: Lineage, at: float = AT, snap: Snapshot | None = None, **changes: Any) -> Look:
    """A look at which every lineage also holds memory on GPU 0, which is idle."""
    idle = replace(device().utilization, gpu_ratio=0.0)
    told = snap or snapshot(
        device(utilization=idle), processes=tuple(process(one.key.pid) for one in found)
    )
    host = HostLook(at, found, own_uid=1000, initial_namespace=True, may_read_all=False)
    return Look(replace(told, taken_at=at), replace(host, **changes))


def twice(first: Lineage, then: Lineage | None = None, apart: float = 30.0) -> tuple[Look, Look]:
    """(now, earlier) of one process."""
    return look(then or first, at=AT + apart), look(first)

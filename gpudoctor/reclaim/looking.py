"""Takes the looks that the judge compares: at the driver, at the host, and again after a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gpudoctor.host.holders import holders
from gpudoctor.host.lineage import LineageReader
from gpudoctor.model.lineage import Ancestor, HostLook, Lineage
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.orphans import Look, judge, needs_window

_PAUSE_S = 1.0
_LETTERS = {"stopped": "T", "zombie": "Z", "traced": "t", "uninterruptible": "D", "running": "R"}

Seeing = Callable[[], Snapshot]


@dataclass(frozen=True, slots=True)
class Judged:
    """All verdicts, and for how many seconds the processes were watched for progress."""

    orphans: tuple[Orphan, ...]
    watched_seconds: float


def local_look(snapshot: Snapshot) -> HostLook:
    """The host's side of `snapshot`: the listed processes, and all that have a GPU open."""
    listed = {process.pid for process in snapshot.processes}
    return LineageReader().look(listed | set(holders()))


def played_look(snapshot: Snapshot) -> HostLook:
    """The same for a recording or the scripted machine, whose pids mean nothing on this host."""
    known = tuple(_played(one, snapshot.monotonic) for one in snapshot.processes if one.visible)
    return HostLook(snapshot.taken_at, known, own_uid=0, initial_namespace=False, may_read_all=True)


def _played(process: GpuProcess, monotonic: float) -> Lineage:
    parent = process.parent_pid or 0
    return Lineage(
        key=process.key,
        start_ticks=0,
        name=process.name or "",
        state=_LETTERS.get(process.state or "", "S"),
        parent_pid=parent,
        group=process.pid,
        session=process.pid,
        terminal=False,
        # A recording holds the share of a CPU, not the sum of seconds: the difference is the same.
        cpu_seconds=(process.cpu_ratio or 0.0) * monotonic,
        command=process.command,
        uid=process.uid,
        user=process.user,
        ancestors=(Ancestor(1, "systemd"),) if parent == 1 else (),
    )


def look_and_judge(
    see: Seeing,
    host: Callable[[Snapshot], HostLook],
    *,
    window_s: float,
    tell: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Judged:
    """Looks once and, where a verdict depends on progress, again until `window_s` seconds later.

    `tell` is called with the number of processes when a wait begins.
    """
    first_seen = see()
    first = Look(first_seen, host(first_seen))
    if window_s <= 0 or not needs_window(first):
        return Judged(judge(first), 0.0)
    tell(len(first.host.processes))
    between: list[Snapshot] = []
    begun = time.monotonic()
    while (left := window_s - (time.monotonic() - begun)) > 0:
        sleep(min(_PAUSE_S, left))
        between.append(see())
    last = between[-1]
    now = Look(last, host(last))
    return Judged(judge(now, first, tuple(between[:-1])), now.host.at - first.host.at)

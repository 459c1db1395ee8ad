"""Judges the holders of GPU memory: a pure function of what two looks at the machine showed."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.host.holders import minors
from gpudoctor.model.lineage import HostLook, Lineage
from gpudoctor.model.orphan import Orphan, Reason, Verdict, Weight
from gpudoctor.model.process import GpuProcess, ProcessKey
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.evidence import ghost, progress, reasons
from gpudoctor.reclaim.offers import offers

SHORTEST_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """What the driver and the host said at one moment."""

    snapshot: Snapshot
    host: HostLook


@dataclass(frozen=True, slots=True)
class _Window:
    first: Look
    between: tuple[Snapshot, ...]


def judge(
    now: Look, earlier: Look | None = None, between: tuple[Snapshot, ...] = ()
) -> tuple[Orphan, ...]:
    """A verdict for every process that holds GPU memory or has a GPU open, worst first.

    Without `earlier` nothing is known about progress: one strong signal still makes an orphan, but
    weaker ones do not yet. `between` are snapshots from the time that lies between both looks.
    Holders that the driver does not list appear only when they are left over.
    """
    window = _Window(earlier, between) if earlier is not None else None
    listed = {process.pid for process in now.snapshot.processes}
    judged = [_of_process(process, now, window) for process in now.snapshot.processes]
    for lineage in now.host.processes:
        if lineage.key.pid not in listed and minors(lineage.gpu_files or ()):
            found = _judged(lineage, None, now, window)
            if found.verdict is not Verdict.IN_USE:
                judged.append(found)
    rank = list(Verdict)
    return tuple(sorted(judged, key=lambda one: (rank.index(one.verdict), one.gpus, one.pid)))


def needs_window(first: Look) -> bool:
    """Whether a second look could change a verdict: somebody has a weaker signal, or is unaccounted."""
    for one in judge(first):
        weights = {reason.weight for reason in one.reasons}
        ids = {reason.id for reason in one.reasons}
        if one.verdict is Verdict.SUSPECT and "owner-dead" in ids:
            return True
        if Weight.HIGH not in weights and Weight.MEDIUM in weights:
            return True
    return any("D" in lineage.thread_states for lineage in first.host.processes)


def _of_process(process: GpuProcess, now: Look, window: _Window | None) -> Orphan:
    lineage = now.host.of(process.pid)
    if lineage is not None:
        return _judged(lineage, process, now, window)
    holders = _unlisted_holders(process, now)
    found = ghost(process.pid, holders, now.host)
    before = window is not None and any(
        one.pid == process.pid for one in window.first.snapshot.processes
    )
    if found[0].weight is not Weight.HIGH:
        verdict = Verdict.IN_USE
    else:
        # Between the driver's answer and ours a process may simply have ended: ask twice.
        verdict = Verdict.ORPHAN if before else Verdict.SUSPECT
    return Orphan(
        pid=process.pid,
        key=process.key,
        verdict=verdict,
        reasons=found,
        offers=offers(None, verdict, found, now.host, tuple(one.key.pid for one in holders)),
        memory_used_bytes=process.memory_used_bytes,
        gpus=tuple(use.index for use in process.gpus),
        name=process.name,
        command=process.command,
        user=process.user,
        uid=process.uid,
        mine=False,
    )


def _judged(
    lineage: Lineage, process: GpuProcess | None, now: Look, window: _Window | None
) -> Orphan:
    before = _same(window.first.host, lineage.key) if window else None
    apart = now.host.at - window.first.host.at if window else 0.0
    found = list(reasons(lineage, before, apart, now.host.at))
    idle: bool | None = lineage.state in ("T", "Z") or None
    if before is not None and window is not None and apart >= SHORTEST_WINDOW_S and not idle:
        moved = progress(lineage, before, apart, _gpu_busy(process, now, window))
        found.append(moved)
        idle = moved.id == "no-progress"
    verdict = _verdict(found, bool(idle))
    uid = lineage.uid
    return Orphan(
        pid=lineage.key.pid,
        key=lineage.key,
        verdict=verdict,
        reasons=tuple(found),
        offers=offers(lineage, verdict, tuple(found), now.host, ()),
        memory_used_bytes=process.memory_used_bytes if process else None,
        gpus=tuple(use.index for use in process.gpus) if process else _gpus(lineage, now.snapshot),
        name=lineage.name,
        command=lineage.command,
        user=lineage.user,
        uid=uid,
        mine=uid == now.host.own_uid,
    )


def _verdict(found: list[Reason], idle: bool) -> Verdict:
    count = {weight: sum(one.weight is weight for one in found) for weight in Weight}
    ids = {one.id for one in found}
    if "daemon" in ids or "traced" in ids:
        return Verdict.IN_USE
    if count[Weight.HIGH]:
        return Verdict.SUSPECT if count[Weight.AGAINST] else Verdict.ORPHAN
    # Ctrl-Z in a live shell: its owner may type `fg`, so it is asked about and not condemned.
    against = count[Weight.AGAINST] and "stopped" not in ids
    if against or not count[Weight.MEDIUM] or not idle:
        return Verdict.IN_USE
    doubted = count[Weight.CAUTION] or count[Weight.AGAINST]
    return Verdict.ORPHAN if count[Weight.MEDIUM] >= 2 and not doubted else Verdict.SUSPECT


def _same(look: HostLook, key: ProcessKey) -> Lineage | None:
    found = look.of(key.pid)
    return found if found is not None and found.key == key else None


def _gpu_busy(process: GpuProcess | None, now: Look, window: _Window) -> bool | None:
    """Whether the GPU worked for the process in any snapshot; None where nothing tells."""
    if process is None:
        return None
    shares: list[float | None] = []
    for snapshot in (window.first.snapshot, *window.between, now.snapshot):
        row = next((one for one in snapshot.processes if one.pid == process.pid), None)
        for use in row.gpus if row else ():
            device = snapshot.device(use.uuid)
            whole = device.utilization.gpu_ratio if device else None
            shares.append(use.sm_ratio if use.sm_ratio is not None else whole)
    known = [share for share in shares if share is not None]
    if not known:
        return None
    return any(share > 0 for share in known)


def _unlisted_holders(process: GpuProcess, now: Look) -> tuple[Lineage, ...]:
    listed = {one.pid for one in now.snapshot.processes}
    devices = (now.snapshot.device(use.uuid) for use in process.gpus)
    numbers = {one.facts.minor_number for one in devices if one is not None}
    wanted = {number for number in numbers if number is not None}
    return tuple(
        one
        for one in now.host.processes
        if one.key.pid not in listed and _shares(minors(one.gpu_files or ()), wanted)
    )


def _shares(held: frozenset[int], wanted: set[int]) -> bool:
    return bool(held & wanted) if wanted else bool(held)


def _gpus(lineage: Lineage, snapshot: Snapshot) -> tuple[int, ...]:
    held = minors(lineage.gpu_files or ())
    return tuple(one.index for one in snapshot.devices if one.facts.minor_number in held)

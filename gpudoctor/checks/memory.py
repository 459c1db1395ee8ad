"""Who holds the GPUs' memory: processes at work, those that are left over, and nobody in sight."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import gpu, info, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.orphan import Orphan, Verdict, Weight
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.selection import unlisted
from gpudoctor.model.snapshot import Device, Snapshot
from gpudoctor.units import data_size

_MOSTLY = 0.5


def processes_on(snapshot: Snapshot, device: Device) -> list[GpuProcess]:
    """The processes that use this GPU."""
    return [p for p in snapshot.processes if any(use.uuid == device.uuid for use in p.gpus)]


def _held(process: GpuProcess, device: Device) -> int | None:
    amounts = [u.memory_used_bytes for u in process.gpus if u.uuid == device.uuid]
    return None if any(a is None for a in amounts) else sum(a or 0 for a in amounts)


def holder_line(process: GpuProcess, device: Device) -> str:
    """A process with what it holds of this GPU, as evidence."""
    who = process.user or "unknown user"
    held = data_size(_held(process, device))
    return f"pid {process.pid} ({process.name or 'unknown'}, {who}): {held}"


@check(
    "memory.orphans",
    title="A process that is left over holds a GPU's memory",
    needs=("gpus",),
    tier="B",
    severity=Severity.WARNING,
    sources=(torch_issue(4293), torch_issue(4031)),
)
def orphans(ctx: CheckContext) -> Iterator[Finding]:
    """A process that nobody waits for any more still holds memory: its launcher is gone, or it is dead and
    was not cleared away. One look finds the plain cases; `gpudoctor orphans` watches the doubtful."""
    judged = ctx.need("orphans", ctx.orphans, "the holders of GPU memory could not be judged")
    for one in judged:
        if one.verdict is Verdict.ORPHAN:
            yield _left_over(one)
    doubtful = [one for one in judged if one.verdict is Verdict.SUSPECT]
    if doubtful:
        yield info(
            f"GPU {', '.join(map(str, sorted({index for one in doubtful for index in one.gpus})))}",
            f"{len(doubtful)} process{'es' if len(doubtful) > 1 else ''} may be left over",
            *(f"pid {one.pid} ({one.name or 'unknown'}): {_reasons(one)}" for one in doubtful),
            fix="Watch for a while whether they do anything.",
            run=["gpudoctor orphans"],
        )


def _left_over(one: Orphan) -> Finding:
    return warning(
        f"GPU {', '.join(map(str, one.gpus))}",
        f"pid {one.pid} ({one.name or 'unknown'}, {one.user or 'unknown user'}) is left over and "
        f"holds {data_size(one.memory_used_bytes)}",
        _reasons(one),
        fix=one.offers[0].text if one.offers else "See what can be done about it.",
        run=["gpudoctor orphans", *(offer.command for offer in one.offers[:1])],
    )


def _reasons(one: Orphan) -> str:
    told = [r for r in one.reasons if r.weight in (Weight.HIGH, Weight.MEDIUM)]
    return "; ".join(reason.text for reason in told) or "no reason was told"


@check(
    "memory.held",
    title="Most of a GPU's memory is in use",
    needs=("gpus",),
    tier="B",
    severity=Severity.WARNING,
    sources=(torch_issue(3871),),
    after=("memory.orphans",),
)
def memory_held(ctx: CheckContext) -> Iterator[Finding]:
    """More than half of a GPU's memory is held by processes. A job that needs the whole GPU runs out of
    memory there, whatever its own size says."""
    full = [
        (device, used, total, holders)
        for device, (used, total) in ctx.reporting(_used_of_total)
        if used / total > _MOSTLY and (holders := processes_on(ctx.the_snapshot(), device))
    ]
    if not full:
        return
    evidence = [
        f"GPU {device.index}: {data_size(used)} of {data_size(total)}; {holder_line(process, device)}"
        for device, used, total, holders in full
        for process in holders
    ]
    foreign = any(p.uid not in (None, os.getuid()) for *_, holders in full for p in holders)
    yield (warning if foreign else info)(
        f"GPU {', '.join(str(device.index) for device, *_ in full)}",
        "more than half of the memory is in use" + (" by other users" if foreign else ""),
        *evidence,
        fix="Choose another GPU, or ask the owners of these processes.",
        run=["gpudoctor ps --sort memory"],
    )


@check(
    "memory.unexplained",
    title="Memory that no living process holds",
    needs=("gpus",),
    tier="B",
    severity=Severity.WARNING,
    sources=(torch_issue(4293), torch_issue(4031)),
    after=("memory.orphans",),
)
def memory_unexplained(ctx: CheckContext) -> Iterator[Finding]:
    """The GPU says that memory is used and names no process for it that lives here. Either a process
    in another container holds it, or one that ended badly left it behind."""
    ctx.reporting(_used_of_total)
    snapshot = ctx.the_snapshot()
    for gap in unlisted(snapshot):
        device = snapshot.device(gap.uuid)
        if device is None or device.mig.enabled:
            continue
        yield warning(
            gpu(device),
            f"{data_size(gap.memory_used_bytes)} are in use that no process in sight holds",
            f"in use: {data_size(device.memory.used_bytes)}",
            *(holder_line(process, device) for process in processes_on(snapshot, device)),
            fix="Look for processes in other containers and for leftovers; where nobody holds the "
            "device files, reset the GPU.",
            run=["gpudoctor orphans", f"sudo fuser -v /dev/nvidia{_minor(device)}"],
        )


def _minor(device: Device) -> int:
    return device.index if device.facts.minor_number is None else device.facts.minor_number


def _used_of_total(device: Device) -> tuple[int, int] | None:
    used, total = device.memory.used_bytes, device.memory.total_bytes
    return None if used is None or not total else (used, total)

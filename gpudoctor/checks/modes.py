"""How a GPU is shared: compute mode, MIG, and the memory that others hold."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import error, gpu, info, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.selection import unlisted
from gpudoctor.model.snapshot import Device, Snapshot
from gpudoctor.units import data_size

_MIG_GUIDE = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/"
_MOSTLY = 0.5


def _on(snapshot: Snapshot, device: Device) -> list[GpuProcess]:
    return [p for p in snapshot.processes if any(use.uuid == device.uuid for use in p.gpus)]


def _held(process: GpuProcess, device: Device) -> int | None:
    amounts = [u.memory_used_bytes for u in process.gpus if u.uuid == device.uuid]
    return None if any(a is None for a in amounts) else sum(a or 0 for a in amounts)


def _line(process: GpuProcess, device: Device) -> str:
    who = process.user or "unknown user"
    return f"pid {process.pid} ({process.name or 'unknown'}, {who}): {data_size(_held(process, device))}"


@check(
    "gpu.compute-mode",
    title="A compute mode that shuts programs out",
    needs=("gpus",),
    tier="B",
    severity=Severity.ERROR,
    sources=(torch_issue(3871), torch_issue(2704)),
)
def compute_mode(ctx: CheckContext) -> Iterator[Finding]:
    """In the mode "prohibited" no CUDA program can use the GPU; in "exclusive process" only one can,
    and the second gets "all CUDA-capable devices are busy or unavailable"."""
    for device, mode in ctx.reporting(lambda d: d.health.compute_mode):
        reset = [f"sudo nvidia-smi -i {device.index} -c DEFAULT"]
        holders = [_line(p, device) for p in _on(ctx.the_snapshot(), device)]
        if mode == "prohibited":
            yield error(
                gpu(device),
                "its compute mode is prohibited: no CUDA program can use it",
                fix="Set the default mode again (needs root).",
                run=reset,
            )
        elif mode == "exclusive process" and holders:
            yield error(
                gpu(device),
                "its compute mode is exclusive process and a process is on it: nobody else can start",
                *holders,
                fix="Wait for that process, or set the default mode (needs root).",
                run=reset,
            )
        elif mode == "exclusive process":
            yield warning(
                gpu(device),
                "its compute mode is exclusive process: only one process at a time can use it",
                fix="Set the default mode if several processes shall share it (needs root).",
                run=reset,
            )


@check(
    "mig.no-instance",
    title="MIG is on and there is no instance",
    needs=("gpus",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_MIG_GUIDE, torch_issue(95784)),
)
def mig_no_instance(ctx: CheckContext) -> Iterator[Finding]:
    """A GPU in MIG mode runs nothing by itself: CUDA sees it only through instances, of which none
    exists."""
    for device, enabled in ctx.reporting(lambda d: d.mig.enabled):
        if enabled and not device.mig.instances:
            yield error(
                gpu(device),
                "MIG mode is on and no MIG device exists: CUDA programs cannot use this GPU",
                fix="Create instances, or switch MIG off (both need root).",
                run=[
                    f"sudo nvidia-smi mig -i {device.index} -lgip",
                    f"sudo nvidia-smi -i {device.index} -mig 0",
                ],
            )


@check(
    "mig.one-per-process",
    title="A process can use only one MIG device",
    needs=("gpus",),
    tier="B",
    severity=Severity.WARNING,
    sources=(_MIG_GUIDE, torch_issue(102715), torch_issue(130181)),
)
def mig_one_per_process(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA enumerates a single MIG device for each process, so that distributed training over the
    instances of a GPU fails with only one device visible. A CUDA_VISIBLE_DEVICES that names several
    expects more."""
    sliced = [d for d, on in ctx.reporting(lambda d: d.mig.enabled) if on]
    total = sum(len(d.mig.instances) for d in sliced)
    if total > 1:
        first = next(instance for d in sliced for instance in d.mig.instances)
        expected = ctx.environ.get("CUDA_VISIBLE_DEVICES", "").count("MIG-") > 1
        yield (warning if expected else info)(
            "MIG",
            f"there are {total} MIG devices, and a process can use only one of them",
            *(f"{i.uuid} on GPU {d.index}" for d in sliced for i in d.mig.instances),
            fix="Start one process for each MIG device, each with its own CUDA_VISIBLE_DEVICES.",
            run=[f"CUDA_VISIBLE_DEVICES={first.uuid} python main.py"],
        )


@check(
    "mig.pending",
    title="A change of MIG mode waits for a reset",
    needs=("gpus",),
    tier="C",
    severity=Severity.WARNING,
    sources=(_MIG_GUIDE,),
)
def mig_pending(ctx: CheckContext) -> Iterator[Finding]:
    """MIG mode was switched and takes effect only when the GPU is reset."""
    told = ctx.reporting(
        lambda d: (
            None
            if d.mig.enabled is None or d.mig.enabled_after_reset is None
            else (d.mig.enabled, d.mig.enabled_after_reset)
        )
    )
    for device, (now, later) in told:
        if now != later:
            word = "on" if later else "off"
            yield warning(
                gpu(device),
                f"MIG mode will be {word} after the next reset of the GPU, not before",
                fix="Reset the GPU when nothing runs on it, or reboot.",
                run=[f"sudo nvidia-smi --gpu-reset -i {device.index}"],
            )


@check(
    "memory.held",
    title="Most of a GPU's memory is in use",
    needs=("gpus",),
    tier="B",
    severity=Severity.WARNING,
    sources=(torch_issue(3871),),
)
def memory_held(ctx: CheckContext) -> Iterator[Finding]:
    """More than half of a GPU's memory is held by processes. A job that needs the whole GPU runs out of
    memory there, whatever its own size says."""
    full = [
        (device, used, total, holders)
        for device, (used, total) in ctx.reporting(_used_of_total)
        if used / total > _MOSTLY and (holders := _on(ctx.the_snapshot(), device))
    ]
    if not full:
        return
    evidence = [
        f"GPU {device.index}: {data_size(used)} of {data_size(total)}; {_line(process, device)}"
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
            *(_line(process, device) for process in _on(snapshot, device)),
            fix="Look for processes in other containers and for leftovers; where nobody holds the "
            "device files, reset the GPU.",
            run=["gpudoctor orphans", f"sudo fuser -v /dev/nvidia{_minor(device)}"],
        )


def _minor(device: Device) -> int:
    return device.index if device.facts.minor_number is None else device.facts.minor_number


def _used_of_total(device: Device) -> tuple[int, int] | None:
    used, total = device.memory.used_bytes, device.memory.total_bytes
    return None if used is None or not total else (used, total)

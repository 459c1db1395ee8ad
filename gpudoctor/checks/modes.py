"""How a GPU is shared: compute mode and MIG."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import error, gpu, info, torch_issue, warning
from gpudoctor.checks.memory import holder_line, processes_on
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity

_MIG_GUIDE = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/"


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
        holders = [holder_line(p, device) for p in processes_on(ctx.the_snapshot(), device)]
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
    told = ctx.reporting_both(lambda d: d.mig.enabled, lambda d: d.mig.enabled_after_reset)
    for device, (now, later) in told:
        if now != later:
            word = "on" if later else "off"
            yield warning(
                gpu(device),
                f"MIG mode will be {word} after the next reset of the GPU, not before",
                fix="Reset the GPU when nothing runs on it, or reboot.",
                run=[f"sudo nvidia-smi --gpu-reset -i {device.index}"],
            )

"""Memory health: ECC errors, remapped rows, retired pages, and what the driver itself advises."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import error, gpu, info, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.snapshot import Device
from gpudoctor.units import count

_MEMORY_GUIDE = "https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html"
_NVML = "https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html"
_RETIRED_LIMIT = 60


def _reset(device: Device) -> list[str]:
    return [f"sudo nvidia-smi --gpu-reset -i {device.index}"]


@check(
    "ecc.uncorrected",
    title="Uncorrected memory errors since the driver was loaded",
    needs=("gpus",),
    tier="C",
    severity=Severity.ERROR,
    sources=(_MEMORY_GUIDE,),
    after=("ecc.remap-failed",),
)
def uncorrected(ctx: CheckContext) -> Iterator[Finding]:
    """The memory gave wrong data that ECC could not repair: the job that read it was stopped, and
    what other jobs computed at that time is in doubt."""
    for device, errors in ctx.reporting(lambda d: d.health.ecc_uncorrected_volatile):
        if errors > 0:
            yield error(
                gpu(device),
                f"{count(errors)} uncorrected ECC errors since the driver was loaded",
                f"over its life: {count(device.health.ecc_uncorrected_aggregate)} uncorrected, "
                f"{count(device.health.ecc_corrected_aggregate)} corrected",
                fix="Let its jobs end, then reset the GPU. If it comes back, have the card replaced.",
                run=_reset(device),
            )


@check(
    "ecc.remap-failed",
    title="A memory row could not be replaced",
    needs=("gpus",),
    tier="C",
    severity=Severity.ERROR,
    sources=(_MEMORY_GUIDE,),
)
def remap_failed(ctx: CheckContext) -> Iterator[Finding]:
    """A defective row of memory could not be remapped to a spare one. NVIDIA names this as a reason
    to return the card."""
    for device, failed in ctx.reporting(lambda d: d.health.remap_failed):
        if failed:
            yield error(
                gpu(device),
                "row remapping failed: there is no spare row left for a defective one",
                f"remapped so far: {count(device.health.remapped_uncorrected_rows)} after "
                f"uncorrected and {count(device.health.remapped_corrected_rows)} after corrected errors",
                fix="Take the GPU out of service and have the card replaced; send the report along.",
                run=["sudo nvidia-bug-report.sh"],
            )


@check(
    "ecc.remap-pending",
    title="A memory row waits for a reset to be replaced",
    needs=("gpus",),
    tier="C",
    severity=Severity.WARNING,
    sources=(_MEMORY_GUIDE,),
    after=("ecc.uncorrected",),
)
def remap_pending(ctx: CheckContext) -> Iterator[Finding]:
    """A row is marked for remapping, which happens at the next reset. Jobs that do not touch it go on."""
    for device, pending in ctx.reporting(lambda d: d.health.remap_pending):
        if pending:
            yield warning(
                gpu(device),
                "a row remapping is pending until the GPU is reset",
                fix="Reset the GPU when no job runs on it.",
                run=_reset(device),
            )


@check(
    "ecc.retired-pages",
    title="Retired memory pages",
    needs=("gpus",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deploy/dynamic-page-retirement/index.html",),
)
def retired_pages(ctx: CheckContext) -> Iterator[Finding]:
    """GPUs before Ampere put defective pages out of use. Pages that wait for it need a restart of the
    GPU; many of them are a reason to return the card."""
    for device, pages in ctx.reporting(lambda d: d.health.retired_pages):
        if device.health.retired_pages_pending:
            yield warning(
                gpu(device),
                "a page retirement is pending until the GPU is reset",
                fix="Reset the GPU when no job runs on it, or reboot.",
                run=_reset(device),
            )
        if pages >= _RETIRED_LIMIT:
            yield warning(
                gpu(device),
                f"{count(pages)} retired pages; NVIDIA's limit for a return is {_RETIRED_LIMIT} or 64",
                fix="Ask the vendor for a replacement; the list of pages is the proof.",
                run=[f"nvidia-smi -i {device.index} -q -d PAGE_RETIREMENT"],
            )


@check(
    "ecc.recovery-action",
    title="The driver advises a recovery action",
    needs=("gpus",),
    tier="C",
    severity=Severity.ERROR,
    sources=("https://docs.nvidia.com/deploy/xid-errors/index.html", _NVML),
    after=("ecc.uncorrected", "ecc.remap-failed", "xid.events", "xid.log"),
)
def recovery_action(ctx: CheckContext) -> Iterator[Finding]:
    """The driver says of itself what would bring the GPU back: a reset, a reboot, draining it. Its
    advice stands above every rule of thumb."""
    for device, action in ctx.reporting(lambda d: d.health.recovery_action):
        if action.lower() in ("none", "no action"):
            continue
        words = action.lower()
        commands = (
            ["sudo reboot"] if "reboot" in words else _reset(device) if "reset" in words else []
        )
        yield error(
            gpu(device),
            f"the driver's recovery action for this GPU is: {action}",
            fix="End the jobs on this GPU, then do what the driver asks for.",
            run=commands,
        )


@check(
    "ecc.disabled",
    title="ECC is off on a GPU that has it",
    needs=("gpus",),
    tier="D",
    severity=Severity.INFO,
    sources=(_NVML,),
)
def disabled(ctx: CheckContext) -> Iterator[Finding]:
    """The GPU has error correction, and it is switched off: single flipped bits go unnoticed into
    the results."""
    for device, enabled in ctx.reporting(lambda d: d.health.ecc_enabled):
        if not enabled:
            yield info(
                gpu(device),
                "error correction (ECC) is off: flipped bits in memory go unnoticed",
                fix="Switch it on (needs root and takes effect after a reset or reboot).",
                run=[f"sudo nvidia-smi -i {device.index} -e 1"],
            )

"""Xids: the driver's numbered messages, with what NVIDIA's catalogue says to do."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import gpu
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Fix, Severity
from gpudoctor.model.snapshot import Device
from gpudoctor.model.xids import XIDS

_CATALOGUE = "https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html"
# The catalogue's immediate actions, in words, and how bad each makes an Xid.
_ACTIONS: dict[str, tuple[Severity, str]] = {
    "RESTART_APP": (Severity.WARNING, "Restart the program; the GPU needs no reset."),
    "RESET_GPU": (Severity.ERROR, "End the programs on this GPU and reset it."),
    "RESTART_BM": (Severity.ERROR, "Restart the whole machine; a power cycle is surer."),
    "RESTART_VM": (Severity.ERROR, "Restart the virtual machine."),
    "CHECK_UVM": (Severity.WARNING, "If vGPU or UVM is in use, reset the GPU; else ignore it."),
    "CHECK_MECHANICALS": (Severity.ERROR, "Check power cables, seating and connections."),
    "UPDATE_SWFW": (Severity.WARNING, "Update the driver and the firmware."),
    "IGNORE": (Severity.INFO, "Nothing needs to be done now."),
    "CONTACT_SUPPORT": (Severity.WARNING, "Save nvidia-bug-report.sh's file and ask NVIDIA."),
    "WORKFLOW_XID_48": (
        Severity.ERROR,
        "Reset the GPU; if Xid 63 or 64 came with it, drain it first.",
    ),
    "WORKFLOW_NVLINK_ERR": (
        Severity.ERROR,
        "Reset the GPU; if it recurs, have the link looked at.",
    ),
    "WORKFLOW_NVLINK5_ERR": (Severity.ERROR, "Decode the status in the line, then reset the GPU."),
    "WORKFLOW_XID_45": (
        Severity.INFO,
        "It follows another error or a killed program: look at what came before it.",
    ),
    "XID_154": (Severity.ERROR, "Do what the message itself names as the recovery action."),
}
_UNKNOWN = (
    Severity.WARNING,
    "NVIDIA's catalogue names no action; save nvidia-bug-report.sh's file.",
)


def judged(code: int) -> tuple[str, Severity, str]:
    """What the Xid means, how bad that is, and what the vendor wants done."""
    entry = XIDS.get(code)
    if entry is None:
        return "not in NVIDIA's catalogue", *_UNKNOWN
    return entry.meaning, *_ACTIONS.get(entry.action, _UNKNOWN)


def _finding(
    subject: str, code: int, times: int, evidence: list[str], index: int | None
) -> Finding:
    meaning, severity, advice = judged(code)
    often = f", {times} times" if times > 1 else ""
    reset = [f"sudo nvidia-smi --gpu-reset -i {index}"] if index is not None else []
    commands = reset if "reset" in advice.lower() and "no reset" not in advice else []
    return Finding(
        "",
        severity,
        subject,
        f"Xid {code}{often}: {meaning}",
        tuple(evidence),
        Fix(advice, (*commands, "sudo dmesg | grep -i xid")),
    )


@check(
    "xid.events",
    title="Xids while we looked",
    needs=("gpus",),
    tier="C",
    severity=Severity.ERROR,
    sources=(_CATALOGUE,),
)
def events(ctx: CheckContext) -> Iterator[Finding]:
    """The driver told of errors during the look itself, or in the recording."""
    snapshot = ctx.the_snapshot()
    told = [e for e in snapshot.events if e.kind == "xid"]
    counts = Counter((e.uuid, e.code) for e in told)
    for (uuid, code), times in sorted(counts.items()):
        device = snapshot.device(uuid)
        last = max(e.at for e in told if (e.uuid, e.code) == (uuid, code))
        when = dt.datetime.fromtimestamp(last).astimezone().isoformat(timespec="seconds")
        yield _finding(
            gpu(device) if device else uuid,
            code,
            times,
            [f"last at {when}"],
            device.index if device else None,
        )


@check(
    "xid.log",
    title="Xids in the kernel log",
    needs=("kernel log",),
    tier="C",
    severity=Severity.ERROR,
    sources=(_CATALOGUE,),
)
def log(ctx: CheckContext) -> Iterator[Finding]:
    """The kernel log of this boot holds the driver's errors, each with a number (Xid). What to do is
    NVIDIA's advice for that number."""
    kernel_log = ctx.the_log()
    xids = kernel_log.xids()
    devices = ctx.snapshot.devices if ctx.snapshot else ()
    for (pci, code), times in sorted(Counter((x.pci, x.code) for x in xids).items()):
        last = [x.text for x in xids if (x.pci, x.code) == (pci, code)][-1]
        device = _at(pci, devices)
        yield _finding(
            gpu(device) if device else f"GPU at PCI {pci}",
            code,
            times,
            [last.strip(), f"read from {kernel_log.source}"],
            device.index if device else None,
        )


def _at(pci: str, devices: tuple[Device, ...]) -> Device | None:
    """The device at the log's address: `0000:01:00`, where NVML writes `00000000:01:00.0`."""
    wanted = pci.lower().split(".")[0][-7:]
    return next(
        (d for d in devices if d.facts.pci_bus_id.lower().split(".")[0][-7:] == wanted), None
    )

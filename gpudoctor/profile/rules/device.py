"""What keeps a GPU waiting: synchronisation and pageable copies; and GPU memory that is nearly full."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy, line_with, loop_seconds, share
from gpudoctor.units import count, data_size, duration, percent

SYNC = 0.10
PAGEABLE = 0.10
EXPOSED = 0.10
NEARLY_FULL = 0.92
_GUIDE = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"
_WAITS = re.compile(r"\.(item|cpu|tolist|numpy|nonzero|synchronize)\(|\b(print|float|int|bool)\(")
_COPIES = re.compile(r"\.(to|cuda)\(")


@rule("sync.blocking")
def blocking(profile: Profile) -> Iterator[ProfileFinding]:
    """The CPU waits for the GPU for at least a tenth of the step, and the GPU then for the CPU."""
    window = profile.window
    if window is None or window.device is None or gpu_is_busy(profile):
        return
    waited = share(window.device.sync_seconds, window)
    if waited < SYNC:
        return
    idle = 1.0 - share(window.device.busy_seconds, window)
    line = line_with(profile, _WAITS)
    yield ProfileFinding(
        id="sync.blocking",
        severity=Severity.WARNING,
        summary=f"The CPU waits for the GPU {percent(waited)} of the time, and then the GPU for the CPU.",
        gain_seconds=min(waited, idle) * loop_seconds(profile),
        source_line=None if line is None else line.source_line,
        evidence=(
            f"{duration(window.device.sync_seconds / window.steps)} of synchronisation a step",
            f"the GPU is busy {percent(1.0 - idle)} of the time",
        ),
        fix=Fix(
            "Take .item(), .cpu() and print() of tensors out of the step, or do them every N steps."
        ),
        sources=(_GUIDE,),
    )


@rule("copies.pageable")
def pageable(profile: Profile) -> Iterator[ProfileFinding]:
    """Copies from pageable memory take at least a tenth of the step."""
    window = profile.window
    if window is None or window.device is None or gpu_is_busy(profile):
        return
    part = share(window.device.pageable_copy_seconds, window)
    if part < PAGEABLE:
        return
    line = line_with(profile, _COPIES)
    yield ProfileFinding(
        id="copies.pageable",
        severity=Severity.WARNING,
        summary=f"Copies from pageable memory take {percent(part)} of the step.",
        gain_seconds=part * loop_seconds(profile),
        source_line=None if line is None else line.source_line,
        evidence=(f"{duration(window.device.pageable_copy_seconds / window.steps)} a step",),
        fix=Fix("Use DataLoader(…, pin_memory=True) and .to(device, non_blocking=True)."),
        sources=("https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html",),
    )


@rule("copies.exposed")
def exposed(profile: Profile) -> Iterator[ProfileFinding]:
    """The GPU copies and computes nothing for at least a tenth of the step, and not for pageable memory."""
    window = profile.window
    if window is None or window.device is None or gpu_is_busy(profile):
        return
    part = share(window.device.exposed_copy_seconds, window)
    if part < EXPOSED or share(window.device.pageable_copy_seconds, window) >= PAGEABLE:
        return
    line = line_with(profile, _COPIES)
    yield ProfileFinding(
        id="copies.exposed",
        severity=Severity.WARNING,
        summary=f"The GPU copies, and computes nothing meanwhile, {percent(part)} of the time.",
        gain_seconds=part * loop_seconds(profile),
        source_line=None if line is None else line.source_line,
        evidence=(f"{count(round(window.device.copies / max(1, window.steps)))} copies a step",),
        fix=Fix(
            "Leave on the GPU what is needed again in the next step, send small types such as uint8 and "
            "convert there, and copy the next batch meanwhile: pin_memory=True, non_blocking=True."
        ),
        sources=("https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html",),
    )


@rule("memory.nearly-full")
def nearly_full(profile: Profile) -> Iterator[ProfileFinding]:
    """The allocator's peak is near the GPU's memory, or it had to free its cache and try again."""
    for device in profile.torch.devices if profile.torch else ():
        peak, total = device.memory_peak_bytes, device.memory_total_bytes
        full = bool(peak and total and peak / total >= NEARLY_FULL)
        if not full and not device.allocator_retries:
            continue
        yield ProfileFinding(
            id="memory.nearly-full",
            severity=Severity.WARNING,
            summary=f"The memory of cuda:{device.index} was nearly full.",
            gain_seconds=None,
            source_line=None,
            evidence=(
                f"peak {data_size(peak)} of {data_size(total)}",
                f"{device.allocator_retries or 0} allocations had to be tried again",
            ),
            fix=Fix("Use a smaller batch, activation checkpointing or mixed precision."),
            sources=(_GUIDE,),
        )

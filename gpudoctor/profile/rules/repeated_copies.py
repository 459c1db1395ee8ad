"""The same bytes, copied from one device to another in step after step."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.operators import RepeatedCopy
from gpudoctor.model.profile import Profile, ProfileFinding, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy, loop_seconds, share
from gpudoctor.units import count, data_size, duration

LEAST = 0.02
# PCIe 5.0 with 16 lanes: what no copy between the host and a PCIe card is faster than.
_LINK_BYTES_PER_S = 64e9
_SOURCES = ("https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",)


@rule("copies.repeated")
def repeated(profile: Profile) -> Iterator[ProfileFinding]:
    """A line copies the same bytes in three steps or more, for 2 % of the step or more."""
    window = profile.window
    if window is None or not window.steps or gpu_is_busy(profile):
        return
    for copy in window.copies:
        part = share(_seconds(copy, window), window)
        if part >= LEAST:
            yield _finding(profile, window, copy, part)


def _seconds(copy: RepeatedCopy, window: Window) -> float:
    """What the copies took on the CPU or, where that only starts them, need at the least."""
    called = copy.seconds
    if window.device is not None:
        # A copy from pageable memory waits for the kernels before it, which is no cost of its own.
        called = min(called, window.device.copy_seconds)
    on_link = "cpu" in (copy.source, copy.target)
    return max(called, copy.bytes / _LINK_BYTES_PER_S if on_link else 0.0)


def _finding(profile: Profile, window: Window, copy: RepeatedCopy, part: float) -> ProfileFinding:
    every = copy.steps >= window.steps
    often = "every step" if every else f"{count(copy.steps)} of {count(window.steps)} steps"
    steps = max(1, copy.steps)
    return ProfileFinding(
        id="copies.repeated",
        severity=Severity.WARNING,
        summary=f"The same {data_size(copy.bytes / steps)} is copied from {copy.source} to {copy.target} "
        f"in {often}.",
        gain_seconds=min(1.0, part) * loop_seconds(profile),
        source_line=copy.source_line,
        evidence=(
            f"{duration(copy.seconds / steps)} of the CPU's time a step in `{copy.text}`",
            *_on_link(copy, steps),
            "unchanged in between, unless it was written to through .data or by a C extension",
        ),
        fix=Fix(_advice(copy)),
        sources=_SOURCES,
    )


def _on_link(copy: RepeatedCopy, steps: int) -> tuple[str, ...]:
    """What the bytes need, where the CPU did not wait for them."""
    needed = copy.bytes / _LINK_BYTES_PER_S
    if needed <= copy.seconds or "cpu" not in (copy.source, copy.target):
        return ()
    return (
        f"{duration(needed / steps)} a step for its bytes on PCIe 5.0 ×16, longer on a slower link",
    )


def _advice(copy: RepeatedCopy) -> str:
    if copy.target == "cpu":
        return "Copy it once, before the loop, and use that copy."
    return (
        "Copy it once, before the loop, and leave it there; what belongs to a module goes along with it "
        "as a buffer: register_buffer()."
    )

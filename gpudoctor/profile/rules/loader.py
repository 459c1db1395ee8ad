"""The step waits for data."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import LoaderTime, Profile, ProfileFinding
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import costliest, gpu_is_busy, loop_seconds
from gpudoctor.units import duration, percent

STARVED = 0.10
RESTARTED = 0.10
_GUIDE = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"


@rule("loader.starved")
def starved(profile: Profile) -> Iterator[ProfileFinding]:
    """The main thread stands in a DataLoader's `__next__` for at least a tenth of the loop."""
    loop = loop_seconds(profile)
    if not loop or gpu_is_busy(profile):
        return
    for loader in profile.loaders:
        if loader.batches < 3 or loader.wait_seconds < STARVED * loop:
            continue
        line, evidence = _where(profile, loader)
        yield ProfileFinding(
            id="loader.starved",
            severity=Severity.WARNING,
            summary=f"The step waits for data {percent(min(1.0, loader.wait_seconds / loop))} of the time.",
            gain_seconds=loader.wait_seconds,
            source_line=line,
            evidence=evidence,
            fix=Fix(_advice(loader)),
            sources=(_GUIDE,),
        )


def _where(profile: Profile, loader: LoaderTime) -> tuple[str | None, tuple[str, ...]]:
    waited = (
        f"{duration(loader.wait_seconds)} in {loader.batches} batches with num_workers="
        f"{loader.num_workers}"
    )
    inside = costliest(profile.lines, "data")
    # With worker processes the cost lies in them, where the main thread's samples do not reach.
    if loader.num_workers or inside is None or inside.total_seconds < loader.wait_seconds / 2:
        return loader.source_line, (waited,)
    if inside.source_line == loader.source_line:
        return loader.source_line, (waited,)
    spent = f"{duration(inside.total_seconds)} of it in this line, `{inside.text}`"
    return inside.source_line, (waited, spent)


def _advice(loader: LoaderTime) -> str:
    if not loader.num_workers:
        return (
            "Load in worker processes: DataLoader(…, num_workers=2 or more, "
            "persistent_workers=True); or make loading one sample cheaper."
        )
    return (
        "Make loading one sample cheaper, or cache it; more num_workers help only while there "
        "are idle CPU cores."
    )


@rule("loader.restarts")
def restarts(profile: Profile) -> Iterator[ProfileFinding]:
    """Starting worker processes anew in each epoch takes at least a tenth of the loop."""
    loop = loop_seconds(profile)
    for loader in profile.loaders:
        lost = loader.start_seconds + loader.first_wait_seconds
        if loader.epochs < 2 or not loader.num_workers or loader.persistent_workers or not loop:
            continue
        # What persistent workers would save must not already be counted as starvation.
        if lost < RESTARTED * loop or lost < (loader.wait_seconds - loader.first_wait_seconds):
            continue
        yield ProfileFinding(
            id="loader.restarts",
            severity=Severity.WARNING,
            summary=f"The loader's workers are started anew in each of {loader.epochs} epochs.",
            gain_seconds=lost * (loader.epochs - 1) / loader.epochs,
            source_line=loader.source_line,
            evidence=(
                f"{duration(loader.start_seconds)} to start {loader.num_workers} workers",
                f"{duration(loader.first_wait_seconds)} for the epochs' first batches",
            ),
            fix=Fix("Keep them: DataLoader(…, persistent_workers=True)."),
            sources=(_GUIDE,),
        )

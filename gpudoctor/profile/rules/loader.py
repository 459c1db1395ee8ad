"""The step waits for data."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import LineTime, LoaderTime, Profile, ProfileFinding
from gpudoctor.profile.rules import workers
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import (
    costliest,
    cpus_at_hand,
    crowded_seconds,
    gpu_is_busy,
    loop_seconds,
)
from gpudoctor.units import count, duration, percent

STARVED = 0.10
RESTARTED = 0.10
# Measured on two cores: batches of small tensors, 0.1 to 0.7 ms in the main process, took 0.7 to 1.9 ms
# from a worker.
FROM_WORKER_S = 1e-3
_CROWDED = (
    "The workers wait, too, and so does the main thread, for a CPU: measure again on a machine with less "
    "other work."
)
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
        slow, crowded = _slow_line(profile, loader), _only_crowded(profile, loader)
        yield ProfileFinding(
            id="loader.starved",
            severity=Severity.INFO if crowded else Severity.WARNING,
            summary=f"The step waits for data {percent(min(1.0, loader.wait_seconds / loop))} of the time.",
            gain_seconds=None if crowded else _gain(profile, loader, slow),
            source_line=line,
            evidence=evidence,
            fix=Fix(_CROWDED if crowded else _advice(profile, loader, slow)),
            sources=(_GUIDE,),
        )


def _only_crowded(profile: Profile, loader: LoaderTime) -> bool:
    """Whether idle workers were waited for on a machine without a free CPU, which may be all that it is."""
    return workers.idle(loader) and crowded_seconds(profile.run) is not None


def _where(profile: Profile, loader: LoaderTime) -> tuple[str | None, tuple[str, ...]]:
    waited = (
        f"{duration(loader.wait_seconds)} in {loader.batches} batches with num_workers="
        f"{loader.num_workers}"
    )
    if loader.workers:
        return workers.where(loader, waited)
    inside = _slow_line(profile, loader)
    if inside is None:
        return loader.source_line, (waited,)
    spent = f"{duration(inside.total_seconds)} of it in this line, `{inside.text}`"
    return inside.source_line, (waited, spent)


def _slow_line(profile: Profile, loader: LoaderTime) -> LineTime | None:
    """The line of the dataset that takes half of the wait or more."""
    inside = costliest(profile.lines, "data")
    # With worker processes the cost lies in them, where the main thread's samples do not reach.
    if loader.num_workers or inside is None or inside.total_seconds < loader.wait_seconds / 2:
        return None
    return None if inside.source_line == loader.source_line else inside


def _gain(profile: Profile, loader: LoaderTime, slow: LineTime | None) -> float | None:
    hidden = _hidden(profile, loader)
    if loader.workers:
        return workers.gain(loader, hidden)
    if hidden is None or _cheap(loader):
        return loader.wait_seconds
    best = max(hidden, slow.total_seconds if slow is not None else 0.0)
    return min(best, loader.wait_seconds) if best > 0 else None


def _cheap(loader: LoaderTime) -> bool:
    """Whether a batch takes the main process less time than it would take on its way from a worker."""
    return not loader.num_workers and loader.wait_seconds < FROM_WORKER_S * loader.batches


def _hidden(profile: Profile, loader: LoaderTime) -> float | None:
    """The most of the wait that more workers can take over on the CPUs at hand; None: unknown."""
    run, loop = profile.run, loop_seconds(profile)
    cpus = cpus_at_hand(run)
    if cpus is None or run.cpu_seconds is None or run.main_cpu_seconds is None:
        return None
    # Other threads, such as torch's, already use cores that workers would compete for.
    used = min(loop, run.main_cpu_seconds) + max(0.0, run.cpu_seconds - run.main_cpu_seconds)
    used += sum(one.cpu_seconds for one in loader.workers)
    return max(0.0, min(loader.wait_seconds, loop - used / cpus))


def _advice(profile: Profile, loader: LoaderTime, slow: LineTime | None) -> str:
    cpus = cpus_at_hand(profile.run)
    have = "" if cpus is None else f" (the script may use {count(cpus)} {_plural(cpus, 'CPU')})"
    if loader.workers:
        return workers.advice(loader, have)
    if loader.num_workers:
        return (
            "Make loading one sample cheaper, or cache it; more num_workers help only while there "
            f"are idle CPU cores{have}."
        )
    if _cheap(loader):
        each = duration(loader.wait_seconds / loader.batches)
        return (
            f"A batch takes {each}, less than its way from a worker "
            "process: take it out of the data at once instead of sample by sample (tensor[indices], or "
            "__getitems__ of the Dataset), or make batches bigger."
        )
    if cpus == 1:
        return "Make loading one sample cheaper, or cache it: there is one CPU, so workers do not help."
    some = 2 if cpus is None else max(1, min(4, cpus - 1))
    option = f"DataLoader(…, num_workers={some} or more, persistent_workers=True)"
    if slow is None and _hidden(profile, loader) == 0:
        return (
            "Make loading one sample cheaper, or cache it: the script already uses its CPUs"
            f"{have}, so that workers would have none of their own."
        )
    if slow is not None:
        return (
            "Make this line cheaper first, or do its work once and cache it; then load in worker "
            f"processes, which need CPU cores of their own{have}: {option}."
        )
    return f"Load in worker processes{have}: {option}; or make loading one sample cheaper."


def _plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


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

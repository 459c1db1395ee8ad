"""torch's threads on the CPU: fewer than there are cores for, or more than there are CPUs for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding, RunFacts, Window
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import crowded_seconds, loop_seconds, share
from gpudoctor.profile.rules.source import call_line, text_line
from gpudoctor.units import count, duration, percent

# Shorter operators gain nothing from more threads: measured, many of 10 µs got slower with two.
LONG_OPERATOR_S = 200e-6
LEAST_LONG = 0.50
LEAST = 0.30
WAITED = 0.10
# Where the script and its workers use less of the CPUs than this, it is others that take them.
OWN = 0.50
_SOURCES = (
    "https://docs.pytorch.org/docs/stable/notes/cpu_threading_torchscript_inference.html",
    "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
)


@rule("cpu.threads")
def threads(profile: Profile) -> Iterator[ProfileFinding]:
    """Long operators on the CPU have half of the cores or fewer, or there are more threads than CPUs."""
    window, have = profile.window, profile.torch.threads if profile.torch else None
    if window is None or not have or profile.steps is None:
        return
    cpus, cores = _limits(profile.run)
    workers = sum(one.num_workers or 0 for one in profile.loaders)
    if cpus is not None and have > max(1, math.ceil(cpus)):
        yield from _too_many(profile, window, have, cpus)
    elif cpus is not None and workers and have > 1 and have + workers > cpus:
        yield from _crowded(profile, have, workers, cpus)
    elif cores is not None:
        yield from _too_few(profile, window, have, math.floor(cores) - workers)


def _limits(run: RunFacts) -> tuple[float | None, float | None]:
    """CPUs that this process may use, and cores that are its own: beside others of its job, a share."""
    cpus = min((one for one in (run.cpus, run.cpu_quota) if one is not None), default=None)
    if run.cpu_cores is None or cpus is None:
        return cpus, None
    return cpus, min(run.cpu_cores, cpus) / max(1, run.local_ranks or 1)


def _too_few(profile: Profile, window: Window, have: int, cores: int) -> Iterator[ProfileFinding]:
    run = profile.run
    long = _operator_seconds(window, LONG_OPERATOR_S)
    if 2 * have > cores or share(long, window) < LEAST_LONG or _on_device(profile):
        return
    waited = crowded_seconds(run)
    crowded = waited is not None
    gain = min(1.0, share(long, window)) * loop_seconds(profile) * (1 - have / cores)
    yield ProfileFinding(
        id="cpu.threads",
        severity=Severity.INFO if crowded else Severity.WARNING,
        summary=f"torch computes with {count(have)} of {count(cores)} CPU cores.",
        gain_seconds=None if crowded else gain,
        source_line=_line(profile),
        evidence=(
            _evidence(share(long, window), f" of {duration(LONG_OPERATOR_S)} or more"),
            *_environment(run),
            *((f"but for {duration(waited)} no core was free even for that",) if crowded else ()),
        ),
        fix=Fix(
            f"{'With less other work on the machine, let' if crowded else 'Let'} torch use them: "
            f"torch.set_num_threads({cores}), or OMP_NUM_THREADS={cores}."
        ),
        sources=_SOURCES,
    )


def _too_many(profile: Profile, window: Window, have: int, cpus: float) -> Iterator[ProfileFinding]:
    part = share(_operator_seconds(window), window)
    if part < LEAST or _on_device(profile):
        return
    best = max(1, math.floor(cpus))
    yield ProfileFinding(
        id="cpu.threads",
        severity=Severity.WARNING,
        summary=f"{count(have)} threads of torch's share {_cpus(cpus)}.",
        gain_seconds=min(1.0, part) * loop_seconds(profile) * (1 - cpus / have),
        source_line=_line(profile),
        evidence=(
            _evidence(part),
            *_limited(profile.run),
            *_environment(profile.run),
        ),
        fix=Fix(f"Use torch.set_num_threads({best}), or OMP_NUM_THREADS={best}."),
        sources=_SOURCES,
    )


def _crowded(profile: Profile, have: int, workers: int, cpus: float) -> Iterator[ProfileFinding]:
    run = profile.run
    waited = min(run.cpu_wait_seconds or 0.0, run.wall_seconds)
    if not run.wall_seconds or waited < WAITED * run.wall_seconds:
        return
    part, best = waited / run.wall_seconds, max(1, math.floor(cpus) - workers)
    if best >= have or _of_others(profile, cpus):
        return
    yield ProfileFinding(
        id="cpu.threads",
        severity=Severity.WARNING,
        summary=f"{count(have)} threads of torch's and {count(workers)} workers share {_cpus(cpus)}: "
        f"the main thread waits for one {percent(part)} of the time.",
        gain_seconds=part * loop_seconds(profile),
        source_line=_line(profile),
        evidence=(f"{duration(waited)} ready to run, and no CPU free", *_limited(run)),
        fix=Fix(
            f"Leave the workers CPUs of their own: torch.set_num_threads({best}), or fewer workers."
        ),
        sources=_SOURCES,
    )


def _of_others(profile: Profile, cpus: float) -> bool:
    """Whether programs other than the script and its workers had most of the CPUs."""
    run = profile.run
    if run.cpu_seconds is None:
        return False
    own = run.cpu_seconds + sum(one.cpu_seconds for load in profile.loaders for one in load.workers)
    return own < OWN * cpus * run.wall_seconds


def _operator_seconds(window: Window, least: float = 0.0) -> float:
    return sum(
        one.self_cpu_seconds
        for one in window.operators
        if one.name.startswith("aten::") and one.self_cpu_seconds >= least * one.calls
    )


def _evidence(part: float, which: str = "") -> str:
    return f"{percent(min(1.0, part))} of the step is in operators{which} on the CPU"


def _on_device(profile: Profile) -> bool:
    return profile.window is not None and profile.window.device is not None


def _cpus(cpus: float) -> str:
    return "1 CPU" if cpus == 1 else f"{cpus:g} CPUs"


def _limited(run: RunFacts) -> tuple[str, ...]:
    quota = run.cpu_quota
    if quota is None or (run.cpus is not None and quota >= run.cpus):
        return ()
    return (f"its control group gives it {_cpus(quota)} of {count(run.cpus)}",)


def _environment(run: RunFacts) -> tuple[str, ...]:
    given = run.omp_num_threads
    return () if given is None else (f"OMP_NUM_THREADS={given}",)


def _line(profile: Profile) -> str | None:
    return call_line(profile, "set_num_threads") or text_line(profile, "OMP_NUM_THREADS")

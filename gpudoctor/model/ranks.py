"""Several ranks of one job, profiled together. Times in seconds; None is what the run did not give."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.model.profile import GpuUse, Profile, ProfileFinding


@dataclass(frozen=True, slots=True)
class RankTime:
    """One rank's step. `step_seconds` is the median over the run; the others are per step in the traced
    window: `own_seconds` is what is left of it without exposed communication, `phases` where it went."""

    rank: int
    local_rank: int | None
    how: str
    steps: int | None
    step_seconds: float | None
    window_step_seconds: float | None
    own_seconds: float | None
    communication_seconds: float | None
    exposed_seconds: float | None
    phases: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RankFinding:
    """What was found, and on which ranks. A comparison of ranks is found on those that it blames."""

    finding: ProfileFinding
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RanksProfile:
    """The ranks beside each other. `missing` left no session; `profiles` are in the order of `ranks`."""

    world_size: int
    ranks: tuple[RankTime, ...]
    missing: tuple[int, ...]
    findings: tuple[RankFinding, ...]
    profiles: tuple[Profile, ...]
    gpus: tuple[GpuUse, ...] = ()
    notes: tuple[str, ...] = ()

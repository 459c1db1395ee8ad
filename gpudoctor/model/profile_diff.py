"""Two profiled runs beside each other. Times in seconds; None is what a run did not give."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.model.profile import ProfileFinding


@dataclass(frozen=True, slots=True)
class RunSide:
    """One of the two runs, as far as it tells them apart."""

    folder: str
    program: tuple[str, ...]
    started_at: float
    python_version: str
    torch_version: str | None
    gpus: tuple[str, ...]
    steps: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One quantity in both runs. `unit` is seconds, bytes or ratio. `verdict` is better, worse, same,
    new or gone, or unknown where one run does not give it."""

    name: str
    unit: str
    before: float | None
    after: float | None
    verdict: str
    place: str | None = None

    @property
    def delta(self) -> float | None:
        """What it grew by; None where one run does not give it."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class ProfileDiff:
    """What changed from one run to another. `step` is the median step; the rows of `phases`,
    `operators` and `lines` are per step, those that changed most first."""

    before: RunSide
    after: RunSide
    step: Change
    totals: tuple[Change, ...]
    phases: tuple[Change, ...]
    operators: tuple[Change, ...]
    lines: tuple[Change, ...]
    solved: tuple[ProfileFinding, ...]
    new: tuple[ProfileFinding, ...]
    notes: tuple[str, ...] = ()

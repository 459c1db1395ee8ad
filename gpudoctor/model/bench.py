"""What a benchmark measured: one row per setting, the same shape for built-in networks and for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Below this a difference is of no use to anybody, however sure it is.
LEAST_EFFECT = 0.01


class BenchKind(StrEnum):
    """`cudnn`: modes of cuDNN on a CUDA device; `cpu`: no CUDA there; `what-if`: the user's script."""

    CUDNN = "cudnn"
    CPU = "cpu"
    WHAT_IF = "what-if"


class Status(StrEnum):
    """How a setting fared. NOT_APPLICABLE: it changes nothing here; SKIPPED: the budget was used up."""

    MEASURED = "measured"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    SKIPPED = "skipped"


class Trajectory(StrEnum):
    """The losses of a changed run beside those of the unchanged one, step by step."""

    EQUAL = "equal"
    CLOSE = "close"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds per step over all rounds: median and quartiles of `steps` steps in `rounds` processes."""

    median_seconds: float
    lower_quartile_seconds: float
    upper_quartile_seconds: float
    steps: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """Speed relative to the unchanged run: 1.2 is 1.2 times as many steps per second.

    `low` to `high` holds the true value with `confidence`, for all comparisons of a report together.
    """

    value: float
    low: float
    high: float
    rounds: int
    confidence: float

    @property
    def faster(self) -> bool:
        """Whether the setting is shown to be faster, by an amount that matters."""
        return self.low > 1 and self.value >= 1 + LEAST_EFFECT

    @property
    def slower(self) -> bool:
        """Whether the setting is shown to be slower, by an amount that matters."""
        return self.high < 1 and self.value <= 1 - LEAST_EFFECT


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs from the same seed first differ, and by how much at the end.

    `phase` is "forward" or "backward"; the differences are the largest absolute ones of any element.
    """

    step: int
    phase: str
    layer: str
    outputs: float | None
    gradients: float | None
    weights: float | None


@dataclass(frozen=True, slots=True)
class Equality:
    """Whether two processes from the same seed got bitwise the same after `steps` steps."""

    steps: int
    outputs: bool
    gradients: bool
    weights: bool
    difference: Difference | None = None

    @property
    def bitwise(self) -> bool:
        """Whether outputs, gradients and weights were all the same in every bit."""
        return self.outputs and self.gradients and self.weights and self.difference is None


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator without a deterministic version. `source_line` ("file:line") is the caller's, if known."""

    name: str
    source_line: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """What the user would change: in words, and where a place in the source is known, as a patch."""

    text: str
    source_line: str | None = None
    patch: str | None = None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One setting on one subject (a network or a script).

    `steps_per_second` is the geometric mean of the rounds, so that its quotient with the unchanged
    run's is `speedup.value` wherever both ran in the same rounds.
    `warmup_seconds`: what the first steps cost beyond steady steps. `payback_steps`: after how many
    steps the longer warm-up is earned back; None where the setting is not shown to be faster.
    `new_shape_seconds`: what the first step with an input shape not seen before costs extra.
    """

    subject: str
    setting: str
    baseline: bool
    status: Status
    reason: str | None = None
    step: Timing | None = None
    steps_per_second: float | None = None
    speedup: Ratio | None = None
    warmup_seconds: float | None = None
    payback_steps: int | None = None
    new_shape_seconds: float | None = None
    peak_memory_bytes: int | None = None
    equality: Equality | None = None
    trajectory: Trajectory | None = None
    loss_difference_ratio: float | None = None
    operators: tuple[Operator, ...] = ()
    edit: Edit | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured; None where there is no such thing."""

    device: str
    device_name: str | None = None
    python: str | None = None
    torch: str | None = None
    cuda: str | None = None
    cudnn: str | None = None
    driver: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All rows of one run of `gpudoctor bench`, and a verdict in one sentence for each subject."""

    kind: BenchKind
    machine: Machine | None
    verdicts: tuple[str, ...]
    results: tuple[BenchResult, ...]
    duration_seconds: float
    notes: tuple[str, ...] = ()

"""From what the children wrote to the rows of the report."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpudoctor.bench.children import Ended
from gpudoctor.bench.statistics import payback_steps, rounds_wanted, speedup, timing
from gpudoctor.model.bench import BenchResult, Difference, Equality, Operator, Ratio, Status
from gpudoctor.units import duration


@dataclass(slots=True)
class Rounds:
    """All runs of one setting, in the order of the rounds; `failure` ends them.

    `no_change`: the failure is that nothing could be changed. `seconds` is what all runs took.
    """

    setting: str
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    failure: str | None = None
    no_change: bool = False
    seconds: float = 0.0

    def add(self, ended: Ended) -> None:
        """Takes a run's result, or the reason why there is none."""
        result = ended.result
        self.seconds += ended.seconds
        if result is None and ended.timed_out and self.runs:
            # The budget ended in this run; those before it still count.
            return
        if result is None or "error" in result or not result.get("step_seconds"):
            self.failure = why(ended)
        else:
            self.runs.append(result)

    @property
    def medians(self) -> list[float]:
        """Seconds of a step in each round: the median one."""
        return [statistics.median(run["step_seconds"]) for run in self.runs]

    @property
    def means(self) -> list[float]:
        """Seconds of a step in each round: the mean, since a stall at every eighth batch counts too."""
        return [run["window_seconds"] / len(run["step_seconds"]) for run in self.runs]


def seconds_left(settings: Sequence[Rounds], wanted: int) -> float:
    """About how many seconds it takes until each setting has run in `wanted` rounds."""
    return sum(
        rounds.seconds / len(rounds.runs) * (wanted - len(rounds.runs))
        for rounds in settings
        if rounds.runs and rounds.failure is None
    )


def growing(
    baseline: Sequence[float], others: Mapping[str, Sequence[float]], comparisons: int
) -> dict[str, int]:
    """The settings whose timings scatter too much, each with the number of rounds that it wants in all."""
    found = {
        name: rounds_wanted(baseline, times, comparisons=comparisons)
        for name, times in others.items()
    }
    return {name: wanted for name, wanted in found.items() if wanted > len(others[name])}


def added(wanted: Mapping[str, int], first: int, done: int) -> Iterator[str]:
    """The note on rounds beyond the planned ones."""
    more = min(done, max(wanted.values(), default=0)) - first
    if more > 0:
        rounds = f"{more} more round{'' if more == 1 else 's'}"
        yield f"The timings of {', '.join(wanted)} scattered: up to {rounds} than {first} were run."


def why(ended: Ended) -> str:
    """Why a child brought no result, in a few words."""
    result = ended.result
    if result is not None and "error" in result:
        return str(result["error"])
    if result is not None and result.get("how") not in (None, "finished", "stopped"):
        return str(result["how"])
    if result is not None:
        return f"it made only {result['steps']} steps"
    if ended.timed_out:
        return f"its time was up: it was ended after {duration(ended.seconds)}"
    last = ended.tail.splitlines()[-1:] or [""]
    return f"exit code {ended.code}: {last[0]}".rstrip(": ")


def rows(
    subject: str, settings: Sequence[Rounds], comparisons: int, first: int | None = None
) -> Iterator[BenchResult]:
    """A row for each setting; the first is the baseline. `first` rounds decided how many there are."""
    baseline = settings[0]
    for rounds in settings:
        if not rounds.runs or rounds.failure is not None:
            yield BenchResult(
                subject=subject,
                setting=rounds.setting,
                baseline=rounds is baseline,
                status=Status.FAILED,
                reason=rounds.failure or "the budget ended before it was run",
            )
            continue
        ratio = None
        if rounds is not baseline and baseline.failure is None:
            ratio = speedup(baseline.medians, rounds.medians, comparisons=comparisons, first=first)
        yield _row(subject, rounds, baseline, ratio)


def _row(subject: str, rounds: Rounds, baseline: Rounds, ratio: Ratio | None) -> BenchResult:
    steps = timing([run["step_seconds"] for run in rounds.runs])
    assert steps is not None
    warmup = _warmup_seconds(rounds)
    payback = None
    if ratio is not None and ratio.faster and warmup is not None:
        plain = _warmup_seconds(baseline)
        middle = statistics.median(baseline.medians)
        extra = None if plain is None else warmup - plain
        payback = payback_steps(extra, middle, middle / ratio.value)
    operators = dict.fromkeys(name for run in rounds.runs for name in run["operators"])
    return BenchResult(
        subject=subject,
        setting=rounds.setting,
        baseline=rounds is baseline,
        status=Status.MEASURED,
        step=steps,
        steps_per_second=1 / statistics.geometric_mean(rounds.medians),
        speedup=ratio,
        warmup_seconds=warmup,
        payback_steps=payback,
        new_shape_seconds=_new_shape_seconds(rounds),
        peak_memory_bytes=max(run["peak_memory_bytes"] for run in rounds.runs),
        equality=_equality(rounds.runs),
        operators=tuple(Operator(name) for name in operators),
    )


def _warmup_seconds(rounds: Rounds) -> float | None:
    costs = [
        sum(run["warmup_seconds"]) - len(run["warmup_seconds"]) * middle
        for run, middle in zip(rounds.runs, rounds.medians, strict=True)
    ]
    return statistics.median(costs) if costs else None


def _new_shape_seconds(rounds: Rounds) -> float | None:
    costs = [
        first - known
        for run in rounds.runs
        for first, known in zip(
            run.get("first_shape_seconds", ()), run.get("known_shape_seconds", ()), strict=True
        )
    ]
    return statistics.median(costs) if costs else None


def _equality(runs: Sequence[Mapping[str, Any]]) -> Equality | None:
    looked = [run for run in runs if "marks" in run]
    if len(looked) < 2 or looked[1]["differences"] is None:
        return None
    one, other = looked[0]["marks"], looked[1]["marks"]
    largest = looked[1]["differences"]
    first = next((a for a, b in zip(one, other, strict=False) if a != b), None)
    difference = None
    if first is not None:
        difference = Difference(step=first[0], phase=first[1], layer=first[2], **largest)
    return Equality(
        steps=one[-1][0],
        outputs=largest["outputs"] == 0.0,
        gradients=largest["gradients"] == 0.0,
        weights=largest["weights"] == 0.0,
        difference=difference,
    )

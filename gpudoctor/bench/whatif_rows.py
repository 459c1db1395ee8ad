"""From the runs of a script to the rows of the report."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudoctor.bench import edits, losses
from gpudoctor.bench.children import Ended
from gpudoctor.bench.rows import Rounds
from gpudoctor.bench.settings import BASELINE, Setting
from gpudoctor.bench.statistics import speedup, timing
from gpudoctor.model.bench import BenchResult, Edit, Operator, Status

if TYPE_CHECKING:
    from gpudoctor.bench.session import Plan


def not_run(
    plan: Plan, setting: Setting, reason: str, status: Status = Status.NOT_APPLICABLE
) -> BenchResult:
    """The row of a setting that was not tried."""
    return BenchResult(
        subject=plan.subject, setting=setting.name, baseline=False, status=status, reason=reason
    )


def single(plan: Plan, setting: Setting, ended: Ended) -> tuple[BenchResult, float | None]:
    """The row of one run of a search, and its steps per second; no claim comes from a single run."""
    rounds = Rounds(setting.name)
    rounds.add(ended)
    if not rounds.runs:
        return not_run(plan, setting, rounds.failure or "", Status.FAILED), None
    if not rounds.runs[0]["changed"]:
        reason = "; ".join(rounds.runs[0]["could_not"]) or "it is so already"
        return not_run(plan, setting, reason), None
    speed = 1 / rounds.means[0]
    row = BenchResult(
        subject=plan.subject,
        setting=setting.name,
        baseline=False,
        status=Status.MEASURED,
        step=timing([rounds.runs[0]["step_seconds"]]),
        steps_per_second=speed,
        peak_memory_bytes=rounds.runs[0]["peak_memory_bytes"],
        notes=("one run of the search",),
    )
    return row, speed


def table(
    plan: Plan, copied: Path, baseline: Rounds, measured: Sequence[tuple[Setting, Rounds]]
) -> Iterator[BenchResult]:
    """The unchanged script first, then the settings in the order in which they were asked for."""
    yield _row(plan, copied, BASELINE, baseline, baseline, 1)
    comparisons = sum(rounds.failure is None and len(rounds.runs) > 0 for _, rounds in measured)
    for setting, rounds in measured:
        yield _row(plan, copied, setting, rounds, baseline, comparisons)


def _row(
    plan: Plan, copied: Path, setting: Setting, rounds: Rounds, baseline: Rounds, comparisons: int
) -> BenchResult:
    if rounds.failure is not None or not rounds.runs:
        status = Status.NOT_APPLICABLE if rounds.no_change else Status.FAILED
        status = status if rounds.failure else Status.SKIPPED
        reason = _said(plan, copied, rounds.failure or "the budget ended before its turn")
        return not_run(plan, setting, reason, status)
    first = setting is BASELINE
    ratio = None
    if not first:
        ratio = speedup(baseline.means, rounds.means, comparisons=comparisons, first=plan.rounds)
    reference = [run["losses"] for run in baseline.runs]
    trajectory, difference = losses.compare([run["losses"] for run in rounds.runs], reference)
    return BenchResult(
        subject=plan.subject,
        setting=setting.name,
        baseline=first,
        status=Status.MEASURED,
        step=timing([run["step_seconds"] for run in rounds.runs]),
        steps_per_second=1 / statistics.geometric_mean(rounds.means),
        speedup=ratio,
        peak_memory_bytes=max(run["peak_memory_bytes"] for run in rounds.runs),
        trajectory=None if first else trajectory,
        loss_difference_ratio=None if first else difference,
        operators=_operators(plan, copied, rounds.runs),
        edit=None if first else _edit(plan, copied, setting, rounds.runs[0]),
        notes=tuple(
            _baseline_notes(reference) if first else _notes(plan, copied, rounds, ratio is None)
        ),
    )


def _baseline_notes(reference: Sequence[losses.Losses]) -> Iterator[str]:
    found = losses.scatter(reference)
    if found == 0:
        yield "its losses are the same in every bit from run to run"
    elif found is not None:
        yield f"its losses differ from run to run by up to {found * 100:.2g} %: is a seed missing?"


def _notes(plan: Plan, copied: Path, rounds: Rounds, few: bool) -> Iterator[str]:
    if few:
        yield f"too few rounds for a claim: {len(rounds.runs)}"
    for reason in rounds.runs[0]["could_not"]:
        yield _said(plan, copied, reason)
    own = losses.scatter([run["losses"] for run in rounds.runs])
    if rounds.setting == "deterministic" and own is not None:
        same = "the same in every bit" if own == 0 else "not the same"
        yield f"with it, the losses are {same} from run to run"


def _said(plan: Plan, copied: Path, reason: str) -> str:
    """A reason with the paths as the user writes them."""
    folder = copied if plan.copy_from is not None else Path.cwd()
    return reason.replace(f"{folder}/", "")


def _operators(plan: Plan, copied: Path, runs: Sequence[Mapping[str, Any]]) -> tuple[Operator, ...]:
    found = {
        (entry["name"], _place(plan, copied, entry["site"])): None
        for run in runs
        for entry in run["operators"]
    }
    return tuple(Operator(name, place) for name, place in found)


def _edit(plan: Plan, copied: Path, setting: Setting, run: Mapping[str, Any]) -> Edit:
    changed = [
        {**entry, "site": _original(plan, copied, entry["site"])} for entry in run["changed"]
    ]
    place = next((_line(entry["site"]) for entry in changed if entry["site"]), None)
    script = (plan.copy_from or Path.cwd()) / plan.target
    diff = None
    if plan.kind == "script" or setting.line is None:
        diff = edits.patch(setting.line, setting.changes, changed, script)
    return Edit(setting.text, place, diff)


def _original(plan: Plan, copied: Path, site: Sequence[Any] | None) -> list[Any] | None:
    """A place in a copy of the folder, as a place in the folder."""
    if site is None or plan.copy_from is None:
        return None if site is None else list(site)
    path = Path(site[0])
    if path.is_relative_to(copied):
        path = plan.copy_from / path.relative_to(copied)
    return [str(path), site[1]]


def _line(site: Sequence[Any]) -> str:
    path = Path(site[0])
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{site[1]}"


def _place(plan: Plan, copied: Path, site: Sequence[Any] | None) -> str | None:
    original = _original(plan, copied, site)
    return None if original is None else _line(original)

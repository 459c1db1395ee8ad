"""`bench main.py`: the user's script, unmodified, with one setting changed at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpudoctor.bench import folders
from gpudoctor.bench.children import Ended, Launcher
from gpudoctor.bench.rows import Rounds
from gpudoctor.bench.settings import BASELINE, Setting, Wanted, workers
from gpudoctor.bench.verdicts import of_script
from gpudoctor.bench.whatif_rows import not_run, single, table
from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.bench import BenchKind, BenchReport, BenchResult, Machine, Status

Progress = Callable[[str], None]
# A window of a few milliseconds measures the scheduler of the operating system.
STEPS, LEAST_S = 50, 1.0
_LEAST_TIME_S = 20.0
_ENOUGH_ROUNDS = 3
# A search goes on past one bad value, which may be chance, but not past one that is this bad, or two.
_WORSE, _MUCH_WORSE = 0.9, 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: `kind` is "script" or "module"; a run measures at least `steps` and `least_s`."""

    kind: str
    target: str
    arguments: tuple[str, ...]
    wanted: Wanted
    steps: int = STEPS
    least_s: float = LEAST_S
    warmup: int = 5
    rounds: int = 5
    budget_s: float = 300.0
    copy_from: Path | None = None

    @property
    def subject(self) -> str:
        """What the rows are about."""
        return self.target if self.kind == "script" else f"-m {self.target}"


@dataclass(slots=True)
class _Session:
    """The runs so far. `until` is when the budget ends, on the monotonic clock."""

    plan: Plan
    launch: Launcher
    progress: Progress
    until: float
    rows: list[BenchResult] = field(default_factory=list)

    def run(self, setting: Setting, why: str) -> Ended:
        """One run of the script with one setting."""
        self.progress(f"{self.plan.subject}: {setting.name} ({why})")
        launch = self.launch
        if self.plan.copy_from is not None:
            copied = folders.copy(self.plan.copy_from, launch.folder / "cwd")
            launch = replace(launch, cwd=str(copied))
        options = {
            "setting": dict(setting.changes),
            "steps": self.plan.steps,
            "least_seconds": self.plan.least_s,
            "warmup": self.plan.warmup,
        }
        return launch.run(
            "whatif",
            options,
            (self.plan.kind, self.plan.target, *self.plan.arguments),
            timeout_s=max(_LEAST_TIME_S, self.left),
            environ=setting.environ,
        )

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.until - time.monotonic()


def run(plan: Plan, launch: Launcher, progress: Progress) -> BenchReport:
    """Measure; `progress` is called with a line before each run.

    Raises:
        GpuDoctorError: the unchanged script fails, or makes no optimizer steps.
    """
    begun = time.monotonic()
    if plan.copy_from is not None:
        folders.check(plan.copy_from)
    session = _Session(plan, launch, progress, begun + plan.budget_s)
    facts = _look(session)
    candidates = [one for one in plan.wanted.settings if _applies(one, facts, session)]
    best = _search_workers(session, facts)
    if best is not None:
        candidates.insert(0, best)
    baseline, measured = _measure(session, candidates)
    # What the search measured before what was not measured at all.
    others = sorted(session.rows, key=lambda row: row.status is not Status.MEASURED)
    results = (*table(plan, launch.folder / "cwd", baseline, measured), *others)
    return BenchReport(
        kind=BenchKind.WHAT_IF,
        machine=_machine(facts),
        verdicts=(of_script(plan.subject, results),),
        results=results,
        duration_seconds=time.monotonic() - begun,
        notes=tuple(_notes(plan, facts)),
    )


def _look(session: _Session) -> Mapping[str, Any]:
    """The first, unchanged run: what the script is, and that it runs at all."""
    ended = session.run(BASELINE, "first look")
    facts = ended.result
    if facts is not None and len(facts["step_seconds"]) >= 2:
        return facts
    if ended.timed_out:
        raise GpuDoctorError(
            f"{session.plan.subject} made no {session.plan.steps} steps in the budget",
            hint="Give it more time with --budget, or fewer --steps.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    if facts is not None and facts["how"] == "finished":
        seen = facts["steps"]
        raise GpuDoctorError(
            f"{session.plan.subject} made too few optimizer steps to measure: {seen}",
            cause="; ".join(facts["could_not"])
            or f"{session.plan.warmup} steps are for warming up; steps of child processes are not seen",
            hint="Let it train for longer. Steps are counted at torch.optim's Optimizer.step.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    raise GpuDoctorError(
        f"{session.plan.subject} fails without any change (exit code {ended.code})",
        cause=ended.tail[-1500:].replace(f"{session.launch.folder}/cwd/", "")
        or (str(facts["how"]) if facts else None),
        hint="Arguments of the script stand after its name; to keep them apart, after `--`.",
        exit_code=ExitCode.UNAVAILABLE,
    )


def _applies(setting: Setting, facts: Mapping[str, Any], session: _Session) -> bool:
    on_cuda = str(facts["device"]).startswith("cuda")
    reason = None
    if setting.needs_cuda and not on_cuda:
        reason = f"the script trains on {facts['device']}, where this changes nothing"
    elif setting.needs_loader and not facts["loaders"]:
        reason = "the script makes no DataLoader"
    if reason is not None:
        session.rows.append(not_run(session.plan, setting, reason))
    return reason is None


def _search_workers(session: _Session, facts: Mapping[str, Any]) -> Setting | None:
    """The best number of workers by one run each; it is measured anew with all the others."""
    counts = session.plan.wanted.workers
    if not counts:
        return None
    if not _applies(workers(counts[0]), facts, session):
        session.rows[-1] = replace(session.rows[-1], setting="num-workers")
        return None
    now = {loader["num_workers"] for loader in facts["loaders"]}
    if len(counts) == 1 and now != {counts[0]}:
        return workers(counts[0])
    speeds: dict[int, float] = {}
    worse = 0
    for place, number in enumerate(counts):
        if now == {number}:
            speeds[number] = _speed(facts)
            continue
        if session.left < 0:
            session.rows.append(
                not_run(session.plan, workers(number), "the budget ended", Status.SKIPPED)
            )
            continue
        ended = session.run(workers(number), "search")
        row, speed = single(session.plan, workers(number), ended)
        session.rows.append(row)
        if speed is None:
            continue
        speeds[number] = speed
        top = max(speeds.values())
        worse = worse + 1 if speed < _WORSE * top else 0
        if worse >= 2 or speed < _MUCH_WORSE * top:
            _stop_search(session, counts[place + 1 :], number)
            break
    others = {number: speed for number, speed in speeds.items() if now != {number}}
    if not others:
        return None
    best = workers(max(others, key=lambda number: others[number]))
    session.rows[:] = [row for row in session.rows if row.setting != best.name]
    return best


def _stop_search(session: _Session, rest: tuple[int, ...], number: int) -> None:
    reason = f"the search stopped at {number}, which was clearly worse than fewer"
    session.rows += [not_run(session.plan, workers(n), reason, Status.SKIPPED) for n in rest]


def _speed(result: Mapping[str, Any]) -> float:
    return float(len(result["step_seconds"]) / result["window_seconds"])


def _measure(
    session: _Session, candidates: list[Setting]
) -> tuple[Rounds, list[tuple[Setting, Rounds]]]:
    """Rounds over the unchanged script and all candidates, until the budget ends."""
    plan = session.plan
    baseline = Rounds(BASELINE.name)
    all_of = [(BASELINE, baseline), *((one, Rounds(one.name)) for one in candidates)]
    for number in range(plan.rounds):
        begun = time.monotonic()
        live = [pair for pair in all_of if pair[1].failure is None]
        if number:
            live = _affordable(session, live, number, begun)
        if number and len(live) < 2:
            break
        for place in range(len(live)):
            setting, rounds = live[(place + number) % len(live)]
            if session.left < 0:
                break
            rounds.add(session.run(setting, f"round {number + 1} of {plan.rounds}"))
            if rounds.runs and setting is not BASELINE and not rounds.runs[-1]["changed"]:
                rounds.failure = "; ".join(rounds.runs[-1]["could_not"]) or "it is so already"
                rounds.no_change = True
        if baseline.failure is not None or session.left < time.monotonic() - begun:
            break
    return baseline, all_of[1:]


def _affordable(
    session: _Session, live: list[tuple[Setting, Rounds]], number: int, now: float
) -> list[tuple[Setting, Rounds]]:
    """As many of the first candidates as can still reach the least number of rounds."""
    missing = max(1, _ENOUGH_ROUNDS - number)
    costs = [rounds.seconds / max(1, len(rounds.runs)) for _, rounds in live]
    kept: list[tuple[Setting, Rounds]] = []
    total = 0.0
    for pair, cost in zip(live, costs, strict=True):
        total += cost * missing
        if kept and total > session.until - now:
            break
        kept.append(pair)
    return kept


def _machine(facts: Mapping[str, Any]) -> Machine:
    about = facts["machine"]
    return Machine(
        device=str(facts["device"]),
        device_name=facts["device_name"],
        python=about.get("python"),
        torch=about.get("torch"),
        cuda=about.get("cuda"),
    )


def _notes(plan: Plan, facts: Mapping[str, Any]) -> Iterator[str]:
    if len(facts["step_seconds"]) < plan.steps:
        yield f"The script ends by itself after {facts['steps']} steps, fewer than were asked for."
    if plan.copy_from is None:
        yield "The script ran in its own folder; with --cwd-copy it runs in a copy."

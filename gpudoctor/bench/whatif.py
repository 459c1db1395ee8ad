"""`bench main.py`: the user's script, unmodified, with one setting changed at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gpudoctor.bench import folders
from gpudoctor.bench.children import Launcher
from gpudoctor.bench.rows import Rounds, seconds_left
from gpudoctor.bench.search import applies, search_workers
from gpudoctor.bench.session import Plan, Progress, Session
from gpudoctor.bench.settings import BASELINE, Setting
from gpudoctor.bench.statistics import LEAST_ROUNDS
from gpudoctor.bench.verdicts import of_script
from gpudoctor.bench.whatif_rows import table
from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.bench import BenchKind, BenchReport, Machine, Status
from gpudoctor.units import duration


def run(plan: Plan, launch: Launcher, progress: Progress) -> BenchReport:
    """Measure; `progress` is called with a line before each run.

    Raises:
        GpuDoctorError: the unchanged script fails, or makes no optimizer steps.
    """
    begun = time.monotonic()
    if plan.copy_from is not None:
        folders.check(plan.copy_from)
    session = Session(plan, launch, progress, begun + plan.budget_s)
    facts = _look(session)
    looked = time.monotonic() - begun
    candidates = [one for one in plan.wanted.settings if applies(one, facts, session)]
    best = search_workers(session, facts, looked, len(candidates))
    if best is not None:
        candidates.insert(0, best)
    baseline, measured = _measure(session, candidates)
    measured = _searched_stay(session, measured)
    # What the search measured before what was not measured at all.
    others = sorted(session.rows, key=lambda row: row.status is not Status.MEASURED)
    results = (*table(plan, launch.folder / "cwd", baseline, measured), *others)
    return BenchReport(
        kind=BenchKind.WHAT_IF,
        machine=_machine(facts),
        verdicts=(of_script(plan.subject, results),),
        results=results,
        duration_seconds=time.monotonic() - begun,
        notes=tuple(_notes(session, facts)),
    )


def _look(session: Session) -> Mapping[str, Any]:
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


def _searched_stay(
    session: Session, measured: list[tuple[Setting, Rounds]]
) -> list[tuple[Setting, Rounds]]:
    """One row for each setting: that of the search where the rounds did not come to it."""
    done = {setting.name for setting, rounds in measured if rounds.runs or rounds.failure}
    session.rows[:] = [
        replace(row, notes=(*row.notes, "the budget ended before its rounds"))
        if row.setting in {setting.name for setting, _ in measured}
        else row
        for row in session.rows
        if row.setting not in done
    ]
    named = {row.setting for row in session.rows}
    return [pair for pair in measured if pair[0].name not in named]


def _measure(
    session: Session, candidates: list[Setting]
) -> tuple[Rounds, list[tuple[Setting, Rounds]]]:
    """Rounds over the unchanged script and all candidates, until the budget ends."""
    plan = session.plan
    baseline = Rounds(BASELINE.name)
    all_of = [(BASELINE, baseline), *((one, Rounds(one.name)) for one in candidates)]
    for number in range(plan.rounds):
        begun = time.monotonic()
        live = [pair for pair in all_of if pair[1].failure is None]
        if number and len(live) > 1:
            live = _affordable(session, live, number, begun)
            session.short = len(live) < 2
        if number and len(live) < 2:
            break
        for place in range(len(live)):
            setting, rounds = live[(place + number) % len(live)]
            if session.left < 0:
                session.short = True
                break
            about = seconds_left([pair[1] for pair in live], plan.rounds) if number else 0.0
            left = f", about {duration(max(1.0, min(about, session.left)))} left" if about else ""
            rounds.add(session.run(setting, f"round {number + 1} of {plan.rounds}{left}"))
            if rounds.runs and setting is not BASELINE and not rounds.runs[-1]["changed"]:
                rounds.failure = "; ".join(rounds.runs[-1]["could_not"]) or "it is so already"
                rounds.no_change = True
        session.done += not session.short
        session.short |= session.left < time.monotonic() - begun
        if baseline.failure is not None or session.short:
            break
    return baseline, all_of[1:]


def _affordable(
    session: Session, live: list[tuple[Setting, Rounds]], number: int, now: float
) -> list[tuple[Setting, Rounds]]:
    """As many of the first candidates as can still reach the least number of rounds."""
    missing = max(1, LEAST_ROUNDS - number)
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


def _notes(session: Session, facts: Mapping[str, Any]) -> Iterator[str]:
    plan = session.plan
    if session.short and session.done < plan.rounds:
        yield (
            f"{session.done} of {plan.rounds} rounds were run in full; the rest would not have fitted "
            f"into the budget of {duration(plan.budget_s)} (see --budget)."
        )
    if len(facts["step_seconds"]) < plan.steps:
        yield f"The script ends by itself after {facts['steps']} steps, fewer than were asked for."
    if plan.copy_from is None:
        yield "The script ran in its own folder; with --cwd-copy it runs in a copy."

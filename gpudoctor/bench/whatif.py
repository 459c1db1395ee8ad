"""`bench main.py`: the user's script, unmodified, with one setting changed at a time."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gpudoctor.bench import folders
from gpudoctor.bench.children import Launcher
from gpudoctor.bench.rows import Rounds, added, growing, seconds_left
from gpudoctor.bench.search import applies, search_workers
from gpudoctor.bench.session import Plan, Progress, Session
from gpudoctor.bench.settings import BASELINE, Setting
from gpudoctor.bench.statistics import LEAST_ROUNDS, MOST_ROUNDS
from gpudoctor.bench.verdicts import of_script
from gpudoctor.bench.whatif_rows import not_run, table
from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.model.bench import BenchKind, BenchReport, BenchResult, Machine, Status
from gpudoctor.units import duration

Pair = tuple[Setting, Rounds]


def run(plan: Plan, launch: Launcher, progress: Progress) -> BenchReport:
    """Measure; `progress` is called with a line before each run.

    Raises:
        GpuDoctorError: the unchanged script fails, or makes no optimizer steps.
    """
    begun = time.monotonic()
    load = os.getloadavg()[0]
    if plan.copy_from is not None:
        folders.check(plan.copy_from)
    session = Session(plan, launch, progress, begun + plan.budget_s)
    facts = _look(session)
    looked = time.monotonic() - begun
    candidates = [one for one in plan.wanted.settings if applies(one, facts, session)]
    best = search_workers(session, facts, looked, len(candidates))
    if best is not None:
        candidates.insert(0, best)
    candidates = _that_fit(session, candidates, looked)
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
        notes=(*_notes(session, facts), *_advice(session, results, looked), *busy(load, plan.cpus)),
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


def _searched_stay(session: Session, measured: list[Pair]) -> list[Pair]:
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


def _measure(session: Session, candidates: list[Setting]) -> tuple[Rounds, list[Pair]]:
    """Rounds over the unchanged script and all candidates, until the budget ends."""
    plan = session.plan
    baseline = Rounds(BASELINE.name)
    all_of = [(BASELINE, baseline), *((one, Rounds(one.name)) for one in candidates)]
    for number in range(MOST_ROUNDS if plan.grow else plan.rounds):
        begun = time.monotonic()
        live = _still_wanted(session, all_of, number)
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
            rounds.add(session.run(setting, _which_round(session, live, number)))
            if rounds.runs and setting is not BASELINE and not rounds.runs[-1]["changed"]:
                rounds.failure = "; ".join(rounds.runs[-1]["could_not"]) or "it is so already"
                rounds.no_change = True
        session.done += not session.short
        session.short |= session.left < time.monotonic() - begun
        if baseline.failure is not None or session.short:
            break
    return baseline, all_of[1:]


def _which_round(session: Session, live: list[Pair], number: int) -> str:
    planned = session.plan.rounds
    last = planned if number < planned else max(session.wanted.values())
    about = seconds_left([pair[1] for pair in live], last) if number else 0.0
    left = f", about {duration(max(1.0, min(about, session.left)))} left" if about else ""
    more = "" if number < planned else ", as the timings scatter"
    return f"round {number + 1} of {last}{more}{left}"


def _still_wanted(session: Session, all_of: list[Pair], number: int) -> list[Pair]:
    """Who takes part in round `number`: all that work, later those whose timings scatter too much.

    Who missed a round stays out: its later runs would be held against those of other rounds.
    """
    live = [pair for pair in all_of if pair[1].failure is None and len(pair[1].runs) == number]
    if number < session.plan.rounds:
        return live
    if number == session.plan.rounds:
        others = {setting.name: rounds.means for setting, rounds in live[1:] if rounds.runs}
        session.wanted = growing(live[0][1].means, others, len(others))
    return [
        pair for pair in live if pair[0] is BASELINE or session.wanted.get(pair[0].name, 0) > number
    ]


def _that_fit(session: Session, candidates: list[Setting], seconds: float) -> list[Setting]:
    """As many of the first candidates as leave time for a claim about the best of them.

    A report in which everything was run once and nothing often enough would say nothing. `seconds` is
    what the unchanged run took.
    """
    claim = 2 * (LEAST_ROUNDS - 1) * seconds
    many = max(1, int((session.left - claim) / max(seconds, 0.001)) - 1)
    reason = f"the budget has time for {many} of the settings (see --budget and --try)"
    session.rows += [
        not_run(session.plan, one, reason, Status.SKIPPED) for one in candidates[many:]
    ]
    return candidates[:many]


def _affordable(session: Session, live: list[Pair], number: int, now: float) -> list[Pair]:
    """As many candidates as can still reach the least number of rounds, the fastest so far before others.

    That chance helped one of them to stay makes no false claim more likely: the intervals are wide enough
    for all that began.
    """
    missing = max(1, LEAST_ROUNDS - number)
    total = 0.0
    kept: list[Pair] = []
    for pair in sorted(live, key=lambda pair: (pair[0] is not BASELINE, _pace(pair[1]))):
        total += pair[1].seconds / max(1, len(pair[1].runs)) * missing
        if kept and total > session.until - now:
            break
        kept.append(pair)
    return [pair for pair in live if pair in kept]


def _pace(rounds: Rounds) -> float:
    return statistics.geometric_mean(rounds.means) if rounds.runs else 0.0


def _machine(facts: Mapping[str, Any]) -> Machine:
    about = facts["machine"]
    return Machine(
        device=str(facts["device"]),
        device_name=facts["device_name"],
        python=about.get("python"),
        torch=about.get("torch"),
        cuda=about.get("cuda"),
    )


def _advice(session: Session, results: Sequence[BenchResult], seconds: float) -> Iterator[str]:
    """What would have been enough, where the budget allowed no claim at all."""
    if session.short and all(row.speedup is None for row in results):
        needed = seconds * (1 + 2 * LEAST_ROUNDS)
        yield (
            f"A claim about one setting takes about {duration(needed)} here: one unchanged run took "
            f"{duration(seconds)}. Give it more --budget, fewer --steps, or one setting with --try."
        )


def busy(load: float, cpus: int) -> Iterator[str]:
    """The note on a machine that had more to do than CPUs for it when the measurement began."""
    if load > cpus:
        yield (
            f"The machine was busy before it began (load {load:.1f} on {cpus} "
            f"CPU{'' if cpus == 1 else 's'}): the timings scatter more, and differ more from an idle one's."
        )


def _notes(session: Session, facts: Mapping[str, Any]) -> Iterator[str]:
    plan = session.plan
    if session.short and session.done < plan.rounds:
        yield (
            f"{session.done} of {plan.rounds} rounds were run in full; the rest would not have fitted "
            f"into the budget of {duration(plan.budget_s)} (see --budget)."
        )
    yield from added(session.wanted, plan.rounds, session.done)
    if len(facts["step_seconds"]) < plan.steps:
        yield f"The script ends by itself after {facts['steps']} steps, fewer than were asked for."
    if plan.copy_from is None:
        yield "The script ran in its own folder; with --cwd-copy it runs in a copy."

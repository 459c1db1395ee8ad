"""Among several numbers of workers, which one is worth measuring with all the other settings?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gpudoctor.bench.session import Session
from gpudoctor.bench.settings import WORKERS, Setting, workers
from gpudoctor.bench.statistics import LEAST_ROUNDS
from gpudoctor.bench.whatif_rows import not_run, single
from gpudoctor.model.bench import Status
from gpudoctor.units import duration

# A search goes on past one bad value, which may be chance, but not past one that is this bad, or two.
_WORSE, _MUCH_WORSE = 0.9, 0.6
# More worker processes than this for each CPU only take turns.
_PER_CPU = 2
# A run with workers may start more slowly than the unchanged one, but hardly so many times.
_SLOWER = 3


def applies(setting: Setting, facts: Mapping[str, Any], session: Session) -> bool:
    """Whether the setting can mean anything for this script; if not, a row says why."""
    on_cuda = str(facts["device"]).startswith("cuda")
    reason = None
    if setting.needs_cuda and not on_cuda:
        reason = f"the script trains on {facts['device']}, where this changes nothing"
    elif setting.needs_loader and not facts["loaders"]:
        reason = "the script makes no DataLoader"
    if reason is not None:
        session.rows.append(not_run(session.plan, setting, reason))
    return reason is None


def search_workers(
    session: Session, facts: Mapping[str, Any], seconds: float, others: int
) -> Setting | None:
    """The best number of workers by one run each; it is measured anew with the `others` settings.

    `seconds` is what the unchanged run took: the search leaves the other settings the time for as many
    rounds as a claim needs, or where the budget is too small for that, their share of it.
    """
    counts = session.plan.wanted.workers
    if not counts:
        return None
    if not applies(workers(counts[0]), facts, session):
        session.rows[-1] = replace(session.rows[-1], setting=WORKERS)
        return None
    now = {loader["num_workers"] for loader in facts["loaders"]}
    if len(counts) == 1 and now != {counts[0]}:
        return workers(counts[0])
    counts = _sensible(session, counts)
    new = [number for number in counts if now != {number}]
    share = _share(session, seconds, others)
    if len(new) > 1 and share < 2 * seconds:
        return _without_search(session, new)
    speeds = _speeds(session, counts, now, facts, share)
    others_than_now = {number: speed for number, speed in speeds.items() if now != {number}}
    if not others_than_now:
        return None
    return workers(max(others_than_now, key=lambda number: others_than_now[number]))


def _sensible(session: Session, counts: Sequence[int]) -> tuple[int, ...]:
    most = _PER_CPU * session.plan.cpus
    plural = "" if session.plan.cpus == 1 else "s"
    reason = f"more than {_PER_CPU} workers for each CPU ({session.plan.cpus} CPU{plural} here)"
    _skip(session, [number for number in counts if number > most], reason)
    return tuple(number for number in counts if number <= most)


def _share(session: Session, seconds: float, others: int) -> float:
    """Seconds of the budget for the search: beside it, the unchanged script and the best run too."""
    settings = others + 2
    return max(session.left - LEAST_ROUNDS * settings * seconds, session.left / settings)


def _without_search(session: Session, counts: Sequence[int]) -> Setting:
    taken = min(counts, key=lambda number: (abs(number - session.plan.cpus), number))
    reason = f"the budget has no time for a search: {WORKERS}={taken} stands for all of them"
    _skip(session, [number for number in counts if number != taken], reason)
    return workers(taken)


def _speeds(
    session: Session,
    counts: Sequence[int],
    now: set[int],
    facts: Mapping[str, Any],
    share: float,
) -> dict[int, float]:
    """Steps per second by number of workers, as far as the search went."""
    speeds: dict[int, float] = {}
    begun = time.monotonic()
    worse = 0
    longest = 0.0
    for place, number in enumerate(counts):
        if now == {number}:
            speeds[number] = _speed(facts)
            continue
        left = share - (time.monotonic() - begun)
        if longest and left < longest:
            rest = [n for n in counts[place:] if now != {n}]
            _skip(session, rest, f"the search had used its share of the budget ({duration(share)})")
            break
        ended = session.run(workers(number), "search", max(left, _SLOWER * longest))
        longest = max(longest, ended.seconds)
        row, speed = single(session.plan, workers(number), ended)
        session.rows.append(row)
        if speed is None:
            continue
        speeds[number] = speed
        top = max(speeds.values())
        worse = worse + 1 if speed < _WORSE * top else 0
        if worse >= 2 or speed < _MUCH_WORSE * top:
            reason = f"the search stopped at {number}, which was clearly worse than fewer"
            _skip(session, [n for n in counts[place + 1 :] if now != {n}], reason)
            break
    return speeds


def _skip(session: Session, counts: Sequence[int], reason: str) -> None:
    session.rows += [not_run(session.plan, workers(n), reason, Status.SKIPPED) for n in counts]


def _speed(result: Mapping[str, Any]) -> float:
    return float(len(result["step_seconds"]) / result["window_seconds"])

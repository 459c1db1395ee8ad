"""report.html of several ranks: one file that opens offline, and links to each rank's own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpudoctor import __version__, units
from gpudoctor.model.ranks import RanksProfile, RankTime
from gpudoctor.render.charts import HEIGHT, WIDTH, Chart, chart
from gpudoctor.render.profile import ended, facts, gpu_line, short
from gpudoctor.render.profile_html import environment, moment
from gpudoctor.render.ranks import PHASES, TITLES, cells, failures, nothing_found, on


@dataclass(frozen=True, slots=True)
class Bar:
    """One rank's step: `width` in percent of the longest, `parts` as (phase, its part, its seconds)."""

    rank: int
    width: float
    seconds: float
    parts: tuple[tuple[str, float, float], ...]


def html(seen: RanksProfile) -> str:
    """The report as one HTML document."""
    first = seen.profiles[0].run
    made = environment(lambda line: short(line, first.cwd))
    made.filters.update(
        cells=cells, end=ended, facts=facts, gpu=gpu_line, on=lambda ranks: on(ranks, seen)
    )
    top, charts = _charts(seen)
    context: dict[str, Any] = {
        "seen": seen,
        "pairs": list(zip(seen.ranks, seen.profiles, strict=True)),
        "program": units.printable(shlex.join(first.program)),
        "started": moment(min(one.run.started_at for one in seen.profiles)),
        "version": __version__,
        "failures": [line.plain for line in failures(seen)],
        "healthy": nothing_found(seen),
        "blamed": _blamed(seen),
        "bars": tuple(_bars(seen.ranks)),
        "phases": PHASES,
        "titles": TITLES,
        "charts": charts,
        "top": top,
        "width": WIDTH,
        "height": HEIGHT,
    }
    return made.get_template("ranks.html").render(context)


def _blamed(seen: RanksProfile) -> set[int]:
    return {
        rank for one in seen.findings if one.finding.id == "ranks.straggler" for rank in one.ranks
    }


def _bars(times: tuple[RankTime, ...]) -> Iterator[Bar]:
    known = [(time, sum(seconds for _, seconds in time.phases)) for time in times if time.phases]
    longest = max((whole for _, whole in known), default=0.0)
    for time, whole in known:
        if whole > 0:
            parts = tuple((name, s / whole, s) for name, s in time.phases if s > 0)
            yield Bar(time.rank, round(100 * whole / longest, 2), whole, parts)


def _charts(seen: RanksProfile) -> tuple[float, list[tuple[int, Chart]]]:
    """The steps of all ranks to one scale, which a single slow step must not flatten."""
    rows = [
        (time.rank, profile.steps.series)
        for time, profile in zip(seen.ranks, seen.profiles, strict=True)
        if profile.steps is not None and len(profile.steps.series) > 1
    ]
    values = sorted(value for _, series in rows for value in series)
    top = values[int(0.99 * (len(values) - 1))] if values else 0.0
    charts = [
        (rank, plot)
        for rank, series in rows
        if (plot := chart([(at, min(value, top)) for at, value in enumerate(series)], top))
    ]
    return top, charts

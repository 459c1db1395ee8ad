"""The report of `gpudoctor bench` as one HTML file that opens offline."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from gpudoctor import __version__
from gpudoctor.model.bench import BenchReport, BenchResult
from gpudoctor.render.bench import details, machine_line, ratio_text
from gpudoctor.render.templating import environment

_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval as percentages of the drawing's width; `kind` is its colour."""

    left: float
    width: float
    middle: float
    kind: str


def html(report: BenchReport) -> str:
    """The report as one HTML document."""
    made = environment()
    made.filters.update(ratio=ratio_text, details=details)
    subjects = dict.fromkeys(result.subject for result in report.results)
    parts = [
        (subject, _drawn([one for one in report.results if one.subject == subject]))
        for subject in subjects
    ]
    return made.get_template("bench.html").render(
        report=report,
        machine=machine_line(report.machine),
        written=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        version=__version__,
        parts=parts,
    )


def _drawn(results: list[BenchResult]) -> tuple[float, list[tuple[BenchResult, Whisker | None]]]:
    """Where 1 lies on the common scale, and each row with its interval on it."""
    ratios = [result.speedup for result in results if result.speedup is not None]
    low = min([ratio.low for ratio in ratios] + [1.0]) * (1 - _MARGIN)
    high = max([ratio.high for ratio in ratios] + [1.0]) * (1 + _MARGIN)

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    rows: list[tuple[BenchResult, Whisker | None]] = []
    for result in results:
        ratio = result.speedup
        if ratio is None:
            rows.append((result, None))
            continue
        kind = "faster" if ratio.faster else "slower" if ratio.slower else "level"
        width = place(ratio.high) - place(ratio.low)
        rows.append((result, Whisker(place(ratio.low), width, place(ratio.value), kind)))
    return place(1.0), rows

"""The report on several ranks of one job: who holds the others up first, then the ranks side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from gpudoctor.model.finding import Severity
from gpudoctor.model.ranks import RankFinding, RanksProfile, RankTime
from gpudoctor.render.profile import gpu_line, short
from gpudoctor.render.profile_table import table, title
from gpudoctor.render.text import safe
from gpudoctor.units import count, duration, percent

TITLES = ("RANK", "STEPS", "MEDIAN STEP", "STEP", "OWN", "COMMUNICATION", "EXPOSED", "SHARE")
_MOST_FINDINGS = 4
_STYLE = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}
_FAILURES = {
    "exception": "an exception",
    "not started": "did not start",
    "terminated": "ended by SIGTERM",
}
PHASES = ("data", "operators", "backward", "optimizer", "communication", "python")


def report(seen: RanksProfile, folder: Path | None = None) -> Iterator[RenderableType]:
    """The verdict, then a table of the ranks."""
    yield Text()
    yield from _verdict(seen)
    yield title(f"{len(seen.ranks)} of {seen.world_size} ranks, per step in the traced window")
    yield _ranks(seen.ranks)
    if any(time.phases for time in seen.ranks):
        yield title("Where a step's time goes")
        yield _phases(seen.ranks)
    for gpu in seen.gpus:
        yield safe(f"GPU {gpu.index}  {gpu_line(gpu)}")
    for note in seen.notes:
        yield safe(f"Note: {note}", "dim")
    if folder is not None:
        first = seen.ranks[0].rank
        yield safe(f"Kept in {folder}: see report.html.", "dim")
        yield safe(f"One rank alone: gpudoctor profile --load {folder}/rank{first}", "dim")


def _verdict(seen: RanksProfile) -> Iterator[Text]:
    yield from failures(seen)
    if healthy := nothing_found(seen):
        yield Text(healthy, style="green")
    for number, one in enumerate(seen.findings[:_MOST_FINDINGS], 1):
        yield from _finding(number, one, seen)
    more = len(seen.findings) - _MOST_FINDINGS
    if more > 0:
        yield Text(f"… and {more} more: see --json.", style="dim")


def failures(seen: RanksProfile) -> Iterator[Text]:
    """The ranks that an error or a signal ended, and which; those that a launcher ended, last."""
    ended = [(time.rank, one.run) for time, one in zip(seen.ranks, seen.profiles, strict=True)]
    failed = [(rank, run) for rank, run in ended if run.how in _FAILURES]
    for rank, run in sorted(failed, key=lambda one: one[1].how == "terminated"):
        where = f" ({short(run.exception_line, run.cwd)})" if run.exception_line else ""
        yield safe(f"Rank {rank}: {run.exception or _FAILURES[run.how]}"[:300] + where, "red")


def nothing_found(seen: RanksProfile) -> str | None:
    """What is said where no rank failed and nothing holds them up; None otherwise."""
    if seen.findings or any(one.run.how in _FAILURES for one in seen.profiles):
        return None
    if not any(time.steps for time in seen.ranks):
        return "Nothing to complain about, but no training or inference step was seen either."
    return "Nothing to complain about: the ranks keep pace."


def _finding(number: int, one: RankFinding, seen: RanksProfile) -> Iterator[Text]:
    finding = one.finding
    line = Text(f"{number}. ", style="bold") + safe(
        finding.summary, f"bold {_STYLE[finding.severity]}"
    )
    if finding.gain_seconds:
        line.append(f"  up to {duration(finding.gain_seconds)} to gain", style="green")
    line.append(f"  ({on(one.ranks, seen)})", style="dim")
    yield line
    where = (
        short(finding.source_line, seen.profiles[0].run.cwd) + ": " if finding.source_line else ""
    )
    if where or finding.evidence:
        yield Text("   ") + safe(where, "bold") + safe("; ".join(finding.evidence))
    if finding.fix is not None:
        yield Text("   → ", style="green") + safe(finding.fix.text)


def on(ranks: tuple[int, ...], seen: RanksProfile) -> str:
    """The ranks in words."""
    if len(ranks) == len(seen.ranks) > 1:
        return "all ranks"
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))


def _ranks(times: tuple[RankTime, ...]) -> RenderableType:
    grid = table(TITLES)
    for one in times:
        grid.add_row(*cells(one))
    return grid


def cells(one: RankTime) -> tuple[str, ...]:
    """A rank's cells under TITLES."""
    share = None
    if one.exposed_seconds is not None and one.window_step_seconds:
        share = one.exposed_seconds / one.window_step_seconds
    return (
        str(one.rank),
        count(one.steps),
        duration(one.step_seconds),
        duration(one.window_step_seconds),
        duration(one.own_seconds),
        duration(one.communication_seconds),
        duration(one.exposed_seconds),
        percent(share),
    )


def _phases(times: tuple[RankTime, ...]) -> RenderableType:
    grid = table(("RANK", *(phase.upper() for phase in PHASES)))
    for one in times:
        phases = dict(one.phases)
        grid.add_row(str(one.rank), *(duration(phases.get(phase)) for phase in PHASES))
    return grid

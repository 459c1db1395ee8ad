"""What sampled stacks alone say of a job that was watched from outside, where steps are not counted."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import LineTime, Profile, ProfileFinding, ThreadTime
from gpudoctor.profile.rules.python_code import advice, waits, without_torch
from gpudoctor.profile.rules.registry import rule
from gpudoctor.profile.rules.shares import gpu_is_busy
from gpudoctor.units import duration, percent

STARVED = 0.10
PYTHON = 0.20


@rule("watched.data")
def data(profile: Profile) -> Iterator[ProfileFinding]:
    """The main thread was in a DataLoader in a tenth of the samples or more."""
    total = _total(profile)
    waits = [line for line in profile.lines if line.phase == "data"]
    waited = sum(line.total_seconds for line in waits)
    if not total or waited < STARVED * total or gpu_is_busy(profile):
        return
    workers = [thread for thread in profile.threads if thread.main]
    slow = max(workers, key=lambda thread: thread.share, default=None)
    yield ProfileFinding(
        id="loader.starved",
        severity=Severity.WARNING,
        summary=f"The step waits for data {percent(waited / total)} of the time.",
        gain_seconds=waited,
        source_line=_where(slow, waits),
        evidence=tuple(_evidence(waits[0], waited, workers, slow)),
        fix=Fix(
            "Make loading one sample cheaper, or use more workers while there are idle CPU cores."
            if workers
            else "Load in worker processes: DataLoader(…, num_workers=2 or more, "
            "persistent_workers=True)."
        ),
    )


def _where(slow: ThreadTime | None, waits: list[LineTime]) -> str | None:
    if slow is not None and slow.source_line is not None and slow.share >= 0.5:
        return slow.source_line
    return waits[0].source_line


def _evidence(
    wait: LineTime, waited: float, workers: list[ThreadTime], slow: ThreadTime | None
) -> Iterator[str]:
    yield f"{duration(waited)} in `{wait.text or wait.source_line}`"
    yield f"{len(workers)} worker processes seen" if workers else "no worker process seen"
    if slow is not None:
        yield f"a worker is in {slow.function} {percent(slow.share)} of the time"


@rule("watched.python")
def python(profile: Profile) -> Iterator[ProfileFinding]:
    """Without a trace: one line's Python, no torch below it, is a fifth of the samples or more."""
    total = _total(profile)
    if not total or profile.window is not None:
        return
    lines = [line for line in profile.lines if line.phase == "step"]
    line = max(lines, key=without_torch, default=None)
    if line is None or without_torch(line) < PYTHON * total:
        return
    own = without_torch(line)
    yield ProfileFinding(
        id="python.main-thread",
        severity=Severity.WARNING,
        summary=f"One line of Python {'waits and ' if waits(line) else ''}holds the main thread "
        f"{percent(own / total)} of the time.",
        gain_seconds=own,
        source_line=line.source_line,
        evidence=(f"{duration(own)} in `{line.text or line.function}`",),
        fix=advice(line),
    )


def _total(profile: Profile) -> float:
    """Seconds of the samples; 0 where the job was not watched from outside."""
    if profile.run.how != "watched":
        return 0.0
    return sum(line.total_seconds for line in profile.lines)

"""Puts the sessions of a job's ranks beside each other, and says who holds the others up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import decode
from gpudoctor.model.finding import Fix, Severity
from gpudoctor.model.profile import Profile, ProfileFinding, Window
from gpudoctor.model.ranks import RankFinding, RanksProfile, RankTime
from gpudoctor.profile.rules.shares import costliest, crowded_seconds
from gpudoctor.profile.session import regular
from gpudoctor.profile.summary import load_profile
from gpudoctor.profile.timeline import gpu_uses
from gpudoctor.units import duration, percent

# Slowest over fastest rank, and the part of the step that must be lost to it.
STRAGGLES = 1.10
LEAST_LOST = 0.05
COMMUNICATION = 0.10
_FOLDER = re.compile(r"rank([0-9]{1,6})")
_MOST_RANKS = 1_000_000
_TUNING = "https://docs.pytorch.org/docs/stable/notes/ddp.html"


class RankSeen(msgspec.Struct, frozen=True):
    """rank.json: who a rank was; -1 where its environment did not say."""

    rank: int
    local_rank: int = -1
    world_size: int = -1


def rank_number(name: str) -> int | None:
    """The rank whose session is in a folder of that name; None: it is no rank's."""
    found = _FOLDER.fullmatch(name)
    return None if found is None else int(found[1])


def rank_folders(folder: Path) -> dict[int, Path]:
    """The folders of the ranks' sessions in `folder`, by rank."""
    try:
        found = {
            int(match[1]): path
            for path in folder.iterdir()
            if (match := _FOLDER.fullmatch(path.name)) and (path / "session.json").is_file()
        }
    except OSError:
        return {}
    return dict(sorted(found.items()))


def load_ranks(folder: Path) -> RanksProfile:
    """The ranks whose sessions lie in `folder`, compared.

    Raises:
        GpuDoctorError: there is none, or one cannot be read.
    """
    folders = rank_folders(folder)
    if not folders:
        raise GpuDoctorError(
            "no rank left anything to report",
            cause="torchrun ended before a rank had run for a second, or its ranks are no Python",
        )
    profiles = {rank: load_profile(path) for rank, path in folders.items()}
    seen = {rank: _who(rank, path) for rank, path in folders.items()}
    world = max(*(one.world_size for one in seen.values()), len(seen), max(seen) + 1)
    times = tuple(rank_time(seen[rank], profiles[rank]) for rank in profiles)
    missing = tuple(rank for rank in range(world) if rank not in profiles)
    compared = tuple(compare(times, profiles))
    return RanksProfile(
        world_size=world,
        ranks=times,
        missing=missing,
        findings=tuple(explained(compared, list(_shared(profiles)))),
        profiles=tuple(profiles.values()),
        gpus=gpu_uses(folder),
        notes=tuple(_notes(times, missing, profiles)),
    )


def _who(rank: int, folder: Path) -> RankSeen:
    path = folder / "rank.json"
    try:
        seen = decode(regular(path), RankSeen, what=str(path))
    except (OSError, GpuDoctorError):
        return RankSeen(rank)
    return seen if seen.world_size <= _MOST_RANKS else RankSeen(rank)


def rank_time(seen: RankSeen, profile: Profile) -> RankTime:
    """One rank's row."""
    window, steps = profile.window, profile.steps
    count = window.steps if window is not None else 0
    exposed = window.exposed_communication_seconds if window is not None else None
    step = window.seconds / count if window is not None and count else None
    return RankTime(
        rank=seen.rank,
        local_rank=None if seen.local_rank < 0 else seen.local_rank,
        how=profile.run.how,
        steps=None if steps is None else steps.count,
        step_seconds=None if steps is None else steps.median_seconds,
        window_step_seconds=step,
        own_seconds=_own(window),
        communication_seconds=_per_step(
            None if window is None else window.communication_seconds, count
        ),
        exposed_seconds=_per_step(exposed, count),
        phases=tuple((p.name, p.seconds / count) for p in window.phases)
        if window and count
        else (),
    )


def _own(window: Window | None) -> float | None:
    if window is None or not window.steps:
        return None
    if window.own_step_seconds is not None:
        return window.own_step_seconds
    exposed = window.exposed_communication_seconds or 0.0
    return max(0.0, window.seconds - exposed) / window.steps


def _per_step(seconds: float | None, steps: int) -> float | None:
    return None if seconds is None or not steps else seconds / steps


def compare(times: tuple[RankTime, ...], profiles: dict[int, Profile]) -> Iterator[RankFinding]:
    """What only the ranks together show: one that the others wait for, or communication itself."""
    known = [time for time in times if time.own_seconds is not None and time.window_step_seconds]
    if len(known) < 2:
        return
    slow = max(known, key=lambda time: time.own_seconds or 0.0)
    fast = min(known, key=lambda time: time.own_seconds or 0.0)
    lost = (slow.own_seconds or 0.0) - (fast.own_seconds or 0.0)
    step = slow.window_step_seconds or 0.0
    ratio = (slow.own_seconds or 0.0) / (fast.own_seconds or float("inf"))
    if ratio >= STRAGGLES and lost >= LEAST_LOST * step:
        yield RankFinding(_straggler(slow, fast, lost, profiles[slow.rank]), (slow.rank,))
    # Who comes last waits for nobody: what it still waits is the cost of the communication itself.
    exposed = min(
        (time.exposed_seconds or 0.0) / (time.window_step_seconds or 1.0) for time in known
    )
    if exposed >= COMMUNICATION:
        finding = _communication(exposed, slow, _most_crowded(profiles))
        yield RankFinding(finding, tuple(time.rank for time in known))


def _straggler(slow: RankTime, fast: RankTime, lost: float, profile: Profile) -> ProfileFinding:
    base = dict(fast.phases)
    more = [(seconds - base.get(name, 0.0), name) for name, seconds in slow.phases]
    # What waits for the others says nothing about who is slow.
    excess, phase = max((one for one in more if one[1] != "communication"), default=(0.0, ""))
    line = costliest(profile.lines, {"operators": "step", "python": "step"}.get(phase, phase))
    evidence = [
        f"{duration(slow.own_seconds)} of its own a step, rank {fast.rank} {duration(fast.own_seconds)}"
    ]
    if excess > lost / 3:
        evidence.append(f"{duration(excess)} more in {phase}")
    crowded = crowded_seconds(profile.run)
    if crowded is not None:
        evidence.append(f"but its main thread had no CPU for {duration(crowded)}")
    return ProfileFinding(
        id="ranks.straggler",
        severity=Severity.WARNING if crowded is None else Severity.INFO,
        summary=f"Rank {slow.rank} holds the others up for {duration(lost)} a step.",
        gain_seconds=lost * (slow.steps or 0) or None,
        source_line=None if line is None else line.source_line,
        evidence=tuple(evidence),
        fix=Fix(
            "Give every rank the same work: the same amount of data, the same shapes, no extra duties."
            if crowded is None
            else "Give every rank CPUs of its own, or measure again on a machine with less other work."
        ),
    )


def _most_crowded(profiles: dict[int, Profile]) -> float | None:
    """The longest that a rank's main thread had no CPU; None: each mostly had one."""
    seen = [crowded_seconds(profile.run) for profile in profiles.values()]
    return max((one for one in seen if one is not None), default=None)


def _communication(exposed: float, slow: RankTime, crowded: float | None) -> ProfileFinding:
    talk = duration(exposed * (slow.window_step_seconds or 0.0))
    waited = (
        () if crowded is None else (f"but for {duration(crowded)} a rank had no CPU to talk with",)
    )
    return ProfileFinding(
        id="ranks.communication",
        severity=Severity.WARNING if crowded is None else Severity.INFO,
        summary=f"Communication that nothing hides takes {percent(exposed)} of the step on every rank.",
        gain_seconds=exposed * (slow.step_seconds or 0.0) * (slow.steps or 0) or None,
        source_line=None,
        evidence=(f"{talk} a step", *waited),
        fix=Fix(
            "Talk less often (accumulate gradients under no_sync()), talk less (bf16 gradients), or "
            "let DDP overlap it with backward (bucket_cap_mb, static_graph)."
        ),
        sources=(_TUNING,),
    )


def explained(
    compared: tuple[RankFinding, ...], shared: list[RankFinding]
) -> Iterator[RankFinding]:
    """All findings, but what only a slow rank has at the line that makes it slow is the straggler's cause
    and no finding of its own."""
    for one in compared:
        cause = next((other for other in shared if _is_cause(other, one)), None)
        if cause is None:
            yield one
            continue
        shared.remove(cause)
        yield RankFinding(_with_cause(one.finding, cause.finding), one.ranks)
    yield from shared


def _is_cause(other: RankFinding, straggler: RankFinding) -> bool:
    line = straggler.finding.source_line
    return (
        straggler.finding.id == "ranks.straggler"
        and line is not None
        and (other.ranks, other.finding.source_line) == (straggler.ranks, line)
    )


def _with_cause(straggler: ProfileFinding, cause: ProfileFinding) -> ProfileFinding:
    own, theirs = (fix.text if fix is not None else "" for fix in (straggler.fix, cause.fix))
    return replace(
        straggler,
        evidence=(
            *straggler.evidence,
            f"there, {_continued(cause.summary).rstrip('.')}",
        ),
        fix=Fix(f"{own} Or {_continued(theirs)}") if theirs else straggler.fix,
    )


def _continued(sentence: str) -> str:
    """A sentence of a rule, to go on with; names of classes and of Python itself stay as they are."""
    first, _, rest = sentence.partition(" ")
    named = first == "Python" or any(letter.isupper() for letter in first[1:])
    return sentence if named else f"{first.lower()} {rest}"


def _shared(profiles: dict[int, Profile]) -> Iterator[RankFinding]:
    """The ranks' own findings, the same ones on several ranks put together."""
    groups: dict[tuple[str, str | None], dict[int, ProfileFinding]] = defaultdict(dict)
    for rank, profile in profiles.items():
        for finding in profile.findings:
            groups[finding.id, finding.source_line].setdefault(rank, finding)
    made = [
        RankFinding(max(group.values(), key=lambda one: one.gain_seconds or 0.0), tuple(group))
        for group in groups.values()
    ]
    yield from sorted(
        made, key=lambda one: (-one.finding.severity.rank, -(one.finding.gain_seconds or 0.0))
    )


def _notes(
    times: tuple[RankTime, ...], missing: tuple[int, ...], profiles: dict[int, Profile]
) -> Iterator[str]:
    if missing:
        yield f"No session of rank {', '.join(map(str, missing))}: it ended too early, or runs elsewhere."
    traced = {
        (p.window.first_step, p.window.steps) for p in profiles.values() if p.window is not None
    }
    if len(traced) > 1:
        yield "The ranks did not trace the same steps, so that their windows compare only roughly."
    counts = [time.steps for time in times if time.steps is not None]
    if counts and max(counts) - min(counts) > 1:
        yield f"The ranks made unequal numbers of steps: {min(counts)} to {max(counts)}."
    crowded = _most_crowded(profiles)
    if crowded is not None:
        yield f"The machine was busy: a rank's main thread waited up to {duration(crowded)} for a CPU."
    if traced and all(time.communication_seconds is None for time in times):
        yield "No communication was seen in the traced steps."

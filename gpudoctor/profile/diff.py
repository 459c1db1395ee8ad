"""Compares two profiled runs: what got faster, what slower, and what the noise does not let one say."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath

from gpudoctor.model.profile import GpuUse, Profile, StepTimes
from gpudoctor.model.profile_diff import Change, ProfileDiff, RunSide
from gpudoctor.units import duration

# The same script on the same machine differs by this much from run to run, without any change.
NOISE = 0.05
# A part of the step counts as changed from this share of the step on.
LEAST_OF_STEP = 0.01
LEAST_OF_ITSELF = 0.10
# One time slice that the scheduler gives to somebody else, and the sampler's interval.
STALL_S = 0.01
SAMPLE_S = 0.01
_ERRORS = 3.0
_BLOCKS = 10
_MOST = 20
Parts = dict[str, tuple[float, str | None]]
Noise = Callable[[float, float], float]


def compare(before: Profile, after: Profile, folders: tuple[str, str]) -> ProfileDiff:
    """What changed from `before` to `after`; `folders` are their sessions' names."""
    step = _step(before.steps, after.steps)
    base = _step_seconds(before) or _step_seconds(after) or 0.0
    window = _window_noise(before, after)
    old, new = ({(f.id, _file(f.source_line)) for f in p.findings} for p in (before, after))
    return ProfileDiff(
        before=_side(before, folders[0]),
        after=_side(after, folders[1]),
        step=step,
        totals=tuple(_totals(before, after)),
        phases=_ranked(_phases(before), _phases(after), base, window, keep_all=True),
        operators=_ranked(_operators(before), _operators(after), base, window),
        lines=_ranked(_lines(before), _lines(after), base, _sampling_noise(before, after)),
        solved=tuple(f for f in before.findings if (f.id, _file(f.source_line)) not in new),
        new=tuple(f for f in after.findings if (f.id, _file(f.source_line)) not in old),
        notes=tuple(_notes(before, after)),
    )


def _side(profile: Profile, folder: str) -> RunSide:
    devices = profile.torch.devices if profile.torch else ()
    names = tuple(device.name for device in devices) or tuple(gpu.name for gpu in profile.gpus)
    return RunSide(
        folder=folder,
        program=profile.run.program,
        started_at=profile.run.started_at,
        python_version=profile.run.python_version,
        torch_version=profile.torch.version if profile.torch else None,
        gpus=names,
        steps=profile.steps.count if profile.steps else None,
    )


def _step(before: StepTimes | None, after: StepTimes | None) -> Change:
    one, two = (None if steps is None else steps.median_seconds for steps in (before, after))
    verdict = "unknown"
    if before is not None and after is not None and one and two:
        error = math.hypot(_error(before.series), _error(after.series))
        least = max(NOISE * one, _ERRORS * error)
        verdict = _verdict(one, two, least)
    return Change("step", "seconds", one, two, verdict)


def _error(series: tuple[float, ...]) -> float:
    """The standard error of the median, by deviations that outliers do not move; where the steps drift
    slowly, as on a shared machine, that of the medians of consecutive blocks, which is greater."""
    if len(series) < 2:
        return 0.0
    middle = statistics.median(series)
    spread = 1.4826 * statistics.median(abs(value - middle) for value in series)
    alone = 1.2533 * spread / math.sqrt(len(series))
    size = len(series) // _BLOCKS
    if size < 2:
        return alone
    medians = [statistics.median(series[at * size : (at + 1) * size]) for at in range(_BLOCKS)]
    return max(alone, statistics.stdev(medians) / math.sqrt(_BLOCKS))


def _verdict(before: float, after: float, least: float, *, more_is_better: bool = False) -> str:
    if abs(after - before) < least or before == after:
        return "same"
    return "better" if (after > before) == more_is_better else "worse"


def _totals(before: Profile, after: Profile) -> Iterator[Change]:
    yield _total("wall time", "seconds", before, after, lambda p: p.run.wall_seconds)
    if _one_of(before, after, lambda p: p.loaders):
        yield _total("waiting for data, per step", "seconds", before, after, _waited)
    rows: tuple[tuple[str, str, Callable[[Profile], float | None], bool], ...] = (
        ("host memory, peak", "bytes", _host_memory, False),
        ("GPU memory, peak", "bytes", _gpu_memory, False),
        ("GPU busy in the window", "ratio", _busy, True),
        ("GPU utilisation", "ratio", lambda p: _mean(p.gpus, "utilization_mean_ratio"), True),
    )
    for name, unit, value, more_is_better in rows:
        if _one_of(before, after, value):
            yield _total(name, unit, before, after, value, more_is_better=more_is_better)


def _one_of(before: Profile, after: Profile, value: Callable[[Profile], object]) -> bool:
    return any(value(profile) not in (None, ()) for profile in (before, after))


def _total(
    name: str,
    unit: str,
    before: Profile,
    after: Profile,
    value: Callable[[Profile], float | None],
    *,
    more_is_better: bool = False,
) -> Change:
    one, two = value(before), value(after)
    verdict = "unknown"
    if one is not None and two is not None:
        least = NOISE if unit == "ratio" else NOISE * one
        verdict = _verdict(one, two, least, more_is_better=more_is_better)
    return Change(name, unit, one, two, verdict)


def _waited(profile: Profile) -> float | None:
    if not profile.steps or not profile.loaders:
        return None
    return sum(loader.wait_seconds for loader in profile.loaders) / profile.steps.count


def _host_memory(profile: Profile) -> float | None:
    return max((point.resident_bytes for point in profile.memory), default=None)


def _gpu_memory(profile: Profile) -> float | None:
    peaks = [
        device.memory_peak_bytes for device in (profile.torch.devices if profile.torch else ())
    ]
    return max((peak for peak in peaks if peak is not None), default=None)


def _busy(profile: Profile) -> float | None:
    window = profile.window
    if window is None or window.device is None or not window.seconds:
        return None
    return window.device.busy_seconds / window.seconds


def _mean(gpus: Iterable[GpuUse], name: str) -> float | None:
    values = [value for gpu in gpus if (value := getattr(gpu, name)) is not None]
    return statistics.fmean(values) if values else None


def _step_seconds(profile: Profile) -> float | None:
    if profile.steps is not None and profile.steps.median_seconds:
        return profile.steps.median_seconds
    window = profile.window
    return window.seconds / window.steps if window is not None and window.steps else None


def _phases(profile: Profile) -> Parts:
    window = profile.window
    if window is None or not window.steps:
        return {}
    return {phase.name: (phase.seconds / window.steps, None) for phase in window.phases}


def _operators(profile: Profile) -> Parts:
    window = profile.window
    if window is None or not window.steps:
        return {}
    parts: Parts = {}
    for one in window.operators:
        # Where there is a GPU its time is what counts; the CPU's is then mostly waiting to launch.
        seconds = one.self_device_seconds or 0.0 if window.device else one.self_cpu_seconds
        parts[one.name] = (seconds / window.steps, None)
    return parts


def _lines(profile: Profile) -> Parts:
    """Lines by their text, since an edit elsewhere moves their numbers; equal texts are added up."""
    if profile.steps is None or not profile.steps.count:
        return {}
    sums: dict[str, float] = defaultdict(float)
    places: dict[str, str] = {}
    for line in profile.lines:
        if line.phase in ("import", "start"):
            continue
        key = f"{line.function}: {line.text or PurePath(line.source_line).name}"
        sums[key] += line.total_seconds / profile.steps.count
        places.setdefault(key, line.source_line)
    return {key: (seconds, places[key]) for key, seconds in sums.items()}


def _ranked(
    before: Parts, after: Parts, step: float, noise: Noise, *, keep_all: bool = False
) -> tuple[Change, ...]:
    if not before or not after:
        return ()
    changes = []
    for name in {**before, **after}:
        one, two = before.get(name), after.get(name)
        place = (two or one or (0.0, None))[1]
        change = _part(name, one and one[0], two and two[0], place, (step, noise))
        if keep_all or change.verdict != "same":
            changes.append(change)
    if not keep_all:
        changes.sort(key=lambda one: -abs((one.after or 0.0) - (one.before or 0.0)))
    return tuple(changes[:_MOST])


def _part(
    name: str, before: float | None, after: float | None, place: str | None, by: tuple[float, Noise]
) -> Change:
    one, two = before or 0.0, after or 0.0
    step, noise = by
    least = max(LEAST_OF_STEP * step, LEAST_OF_ITSELF * max(one, two), noise(one, two))
    verdict = _verdict(one, two, least)
    if verdict != "same" and (before is None or after is None):
        verdict = "new" if before is None else "gone"
    return Change(name, "seconds", before, after, verdict, place)


def _window_noise(before: Profile, after: Profile) -> Noise:
    """What one interruption by the scheduler, which can hit any part of a window, adds to its step."""
    counts = [profile.window.steps for profile in (before, after) if profile.window is not None]
    fewest = min(counts, default=0)
    added = STALL_S / fewest if fewest else 0.0

    def noise(_before: float, _after: float) -> float:
        return added

    return noise


def _sampling_noise(before: Profile, after: Profile) -> Noise:
    """Three standard errors of the number of samples that fall on a line."""
    one, two = (profile.steps.count if profile.steps else 0 for profile in (before, after))

    def noise(seconds_before: float, seconds_after: float) -> float:
        if not one or not two:
            return 0.0
        least = SAMPLE_S / min(one, two) ** 2
        return _ERRORS * math.sqrt(SAMPLE_S * (seconds_before / one + seconds_after / two + least))

    return noise


def _file(source_line: str | None) -> str:
    return PurePath((source_line or "").rpartition(":")[0]).name


def _notes(before: Profile, after: Profile) -> Iterator[str]:
    one, two = _side(before, ""), _side(after, "")
    if one.program[:1] != two.program[:1]:
        yield "These are runs of two different programs."
    elif one.program != two.program:
        yield "The program's arguments differ."
    if one.torch_version != two.torch_version:
        yield f"torch differs: {one.torch_version or 'none'}, then {two.torch_version or 'none'}."
    if one.gpus != two.gpus:
        yield f"The GPUs differ: {', '.join(one.gpus) or 'none'}, then {', '.join(two.gpus) or 'none'}."
    if before.steps and after.steps and before.steps.boundary != after.steps.boundary:
        yield "A step is the optimizer's in one run and the loader's in the other: they do not compare."
    if one.steps != two.steps and one.steps and two.steps:
        yield f"The runs made {one.steps} and {two.steps} steps, so that wall times do not compare."
    few = [side for side in (before.steps, after.steps) if side is not None and side.count < 20]
    if few:
        yield f"With few steps ({few[0].count}) a small change cannot be told from chance."
    seen = [p.window.seconds for p in (before, after) if p.window is not None]
    if len(seen) == 2 and min(seen) < 10 * STALL_S:
        yield (
            f"The windows are short ({duration(min(seen))}): profile with more --steps to compare "
            "phases and operators."
        )

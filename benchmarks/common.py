"""Side-by-side timing: whole processes in interleaved rounds, shown as ratios, kept as JSON."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Timing:
    """Seconds of wall and CPU time over the rounds; `ratio` is of medians, to the first contender."""

    name: str
    rounds: int
    wall_median_s: float
    wall_min_s: float
    wall_max_s: float
    cpu_median_s: float
    ratio: float


def time_commands(
    commands: Mapping[str, Sequence[str]],
    *,
    rounds: int = 15,
    env: Mapping[str, str] | None = None,
    may_fail: bool = False,
) -> list[Timing]:
    """Runs each command once a round, after one round that is not counted."""
    wall: dict[str, list[float]] = {name: [] for name in commands}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            spent, used = _one(command, env, may_fail)
            if turn:
                wall[name].append(spent)
                cpu[name].append(used)
    return summarise(wall, cpu)


def summarise(wall: Mapping[str, list[float]], cpu: Mapping[str, list[float]]) -> list[Timing]:
    """One Timing for each name, with ratios to the first."""
    floor = statistics.median(next(iter(wall.values())))
    return [
        Timing(
            name,
            len(times),
            statistics.median(times),
            min(times),
            max(times),
            statistics.median(cpu[name]),
            statistics.median(times) / floor,
        )
        for name, times in wall.items()
    ]


def _environment(changes: Mapping[str, str] | None) -> dict[str, str]:
    """Ours with `changes`; byte code is cached as on any user's machine."""
    wanted = {**os.environ, **(changes or {})}
    wanted.pop("PYTHONDONTWRITEBYTECODE", None)
    return wanted


def _one(
    command: Sequence[str], env: Mapping[str, str] | None, may_fail: bool
) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    # No time limit: with one, `wait` polls in steps of up to 50 ms and the times come in such steps.
    code = subprocess.Popen(
        command,
        env=_environment(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).wait()
    if code and not may_fail:
        raise subprocess.CalledProcessError(code, list(command))
    spent = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_of(call: Callable[[], object], repeats: int) -> float:
    """CPU seconds of all threads of this process for one call, over `repeats` calls."""
    begun = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - begun) / repeats


def machine() -> dict[str, object]:
    """Where and with which versions it was measured."""
    names = ("gpudoctor", "nvitop", "gpustat", "nvidia-ml-py", "torch", "textual", "py-spy")
    return {
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "versions": {name: _version(name) for name in names},
    }


def _processor() -> str | None:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        label, _, model = line.partition(":")
        if label.strip() == "model name":
            return model.strip()
    return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def report(name: str, title: str, timings: Sequence[Timing], **more: object) -> dict[str, object]:
    """Prints a table and writes results/NAME.json. Returns what was written."""
    print(f"\n{title}")
    wide = max(len(timing.name) for timing in timings)
    print(f"  {'':{wide}}  {'wall ms':>9} {'min':>8} {'max':>8} {'cpu ms':>8} {'ratio':>7}")
    for timing in timings:
        print(
            f"  {timing.name:{wide}}  {timing.wall_median_s * 1e3:9.1f} {timing.wall_min_s * 1e3:8.1f}"
            f" {timing.wall_max_s * 1e3:8.1f} {timing.cpu_median_s * 1e3:8.1f} {timing.ratio:6.2f}x"
        )
    result = {"title": title, **machine(), "timings": [asdict(item) for item in timings], **more}
    write(name, result)
    return result


def write(name: str, result: Mapping[str, object]) -> None:
    """Writes results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")

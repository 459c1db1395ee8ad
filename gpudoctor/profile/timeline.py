"""What NVML says of the GPUs that a script uses, while it runs: gathered from outside, beside it."""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.host.proc_files import read_stat
from gpudoctor.model.codec import decode
from gpudoctor.model.profile import GpuUse
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.profile.session import regular

INTERVAL_S = 0.5
FILE = "gpus.json"
IDLE = 0.05
COLLECTED = frozenset({"memory", "utilization", "power", "clocks", "gpm", "processes"})
_MOST_POINTS = 2_000
_DEEPEST = 64
_PROC = Path("/proc")
# Reasons for which a GPU is slower than it could be, other than that nobody asks more of it.
SLOWED = frozenset(
    {"hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown"}
)


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One look at one GPU, `at` seconds after the watch began."""

    at: float
    gpu_ratio: float | None
    sm_active_ratio: float | None
    memory_used_bytes: int | None
    sm_hertz: float | None
    power_watts: float | None
    reasons: tuple[str, ...] | None


class GpuSeen(msgspec.Struct):
    """A GPU that the script held memory on, and the looks at it; `looks` counts dropped ones too."""

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | None
    points: list[Point] = []
    stride: int = 1
    looks: int = 0


class Timeline(msgspec.Struct):
    """The contents of gpus.json."""

    interval_seconds: float
    gpus: list[GpuSeen]


class GpuWatch:
    """Takes snapshots, and keeps those of GPUs on which a process below `root` (or `root`) has memory."""

    def __init__(self, root: int, interval_seconds: float = INTERVAL_S) -> None:
        self._root = root
        self._begun = time.monotonic()
        self._interval = interval_seconds
        self._seen: dict[str, GpuSeen] = {}

    def take(self, snapshot: Snapshot) -> None:
        """One snapshot."""
        used = {
            use.uuid
            for process in snapshot.processes
            if process.visible and descends(process.pid, self._root)
            for use in process.gpus
        }
        for device in snapshot.devices:
            if device.uuid in used and device.state is DeviceState.OK:
                self._add(device)

    def _add(self, device: Device) -> None:
        seen = self._seen.get(device.uuid)
        if seen is None:
            facts = device.facts
            seen = self._seen[device.uuid] = GpuSeen(
                facts.index, facts.uuid, facts.name, facts.memory_total_bytes
            )
        seen.looks += 1
        if seen.looks % seen.stride:
            return
        seen.points.append(_point(device, time.monotonic() - self._begun))
        if len(seen.points) >= _MOST_POINTS:
            del seen.points[::2]
            seen.stride *= 2

    def write(self, folder: Path) -> None:
        """Write gpus.json where a GPU was used; what cannot be written is given up."""
        if not self._seen:
            return
        gpus = sorted(self._seen.values(), key=lambda gpu: gpu.index)
        with contextlib.suppress(OSError):
            replace_file(folder / FILE, msgspec.json.encode(Timeline(self._interval, gpus)))


def _point(device: Device, at: float) -> Point:
    return Point(
        at=round(at, 3),
        gpu_ratio=device.utilization.gpu_ratio,
        sm_active_ratio=device.gpm.sm_active_ratio,
        memory_used_bytes=device.memory.used_bytes,
        sm_hertz=device.clocks.sm_hertz,
        power_watts=device.power.usage_watts,
        reasons=device.clocks.reasons,
    )


def descends(pid: int, root: int) -> bool:
    """Whether process `pid` is `root` or was started by it, directly or not."""
    for _ in range(_DEEPEST):
        if pid == root:
            return True
        stat = read_stat(_PROC, pid)
        if stat is None or stat.parent_pid <= 1:
            return False
        pid = stat.parent_pid
    return False


@contextlib.contextmanager
def beside(
    work: Callable[[threading.Event], None], patience_seconds: float = 3.0
) -> Iterator[None]:
    """Runs `work(stop)` in a thread while the block runs; sets `stop` after it, and waits a little.

    The thread, and those that it starts, block all signals: the main thread waits for them by itself.
    """
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name="gpu-timeline", daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield
    finally:
        stop.set()
        thread.join(patience_seconds)


def read_timeline(folder: Path) -> Timeline | None:
    """gpus.json in `folder`; None where there is none that can be read."""
    try:
        return decode(regular(folder / FILE), Timeline, what=FILE)
    except (OSError, GpuDoctorError):
        return None


def gpu_uses(folder: Path) -> tuple[GpuUse, ...]:
    """What gpus.json in `folder` says, in sums; nothing where there is none that can be read."""
    timeline = read_timeline(folder)
    if timeline is None:
        return ()
    return tuple(
        summary(gpu, timeline.interval_seconds * gpu.stride) for gpu in timeline.gpus if gpu.points
    )


def summary(gpu: GpuSeen, interval_seconds: float) -> GpuUse:
    """The looks at one GPU in sums."""
    points = gpu.points
    ratios = [point.gpu_ratio for point in points if point.gpu_ratio is not None]
    told = [point.reasons for point in points if point.reasons is not None]
    slowed = [set(reasons) & SLOWED for reasons in told]
    return GpuUse(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        looks=gpu.looks,
        interval_seconds=interval_seconds,
        utilization_mean_ratio=_mean(ratios),
        idle_ratio=_mean([float(ratio < IDLE) for ratio in ratios]),
        throttled_ratio=_mean([float(bool(reasons)) for reasons in slowed]),
        throttle_reasons=tuple(sorted(set().union(*slowed))),
        memory_peak_bytes=max(
            (p.memory_used_bytes for p in points if p.memory_used_bytes is not None), default=None
        ),
        memory_total_bytes=gpu.memory_total_bytes,
        power_mean_watts=_mean([p.power_watts for p in points if p.power_watts is not None]),
        sm_clock_mean_hertz=_mean([p.sm_hertz for p in points if p.sm_hertz is not None]),
        sm_active_mean_ratio=_mean(
            [p.sm_active_ratio for p in points if p.sm_active_ratio is not None]
        ),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None

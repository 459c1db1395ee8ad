"""What was seen lately, and what was recorded before, kept in memory for the graphs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gpudoctor.history.values import GpuHistory
from gpudoctor.history.values import History as Recorded
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.tui.feed import Past
from gpudoctor.tui.steps import Steps


@dataclass(frozen=True, slots=True)
class Window:
    """A time that graphs can span."""

    seconds: float
    name: str


WINDOWS = (Window(60, "1 min"), Window(600, "10 min"), Window(3600, "1 h"), Window(86400, "1 d"))
# A value stands for the time until the next one; after so many steps without one, nothing is known.
_STEPS_HELD = 2.5
Point = tuple[float, float | None]


def window_over(seconds: float) -> Window:
    """The shortest window that spans so many seconds, else the longest."""
    return next((window for window in WINDOWS if window.seconds >= seconds), WINDOWS[-1])


class Grain:
    """Means over steps of `step_s` seconds (0: every sample), of the last `kept_s` seconds."""

    __slots__ = ("_count", "_points", "_sum", "kept_s", "step_s")

    def __init__(self, step_s: float, kept_s: float) -> None:
        self.step_s = step_s
        self.kept_s = kept_s
        self._points: deque[Point] = deque()
        self._sum = 0.0
        self._count = 0

    @property
    def oldest(self) -> float | None:
        """When the first point was, seconds since the epoch."""
        return self._points[0][0] if self._points else None

    def add(self, at: float, value: float | None) -> None:
        """Take down the newest value."""
        begun = at - at % self.step_s if self.step_s else at
        if self._points and begun < self._points[-1][0]:
            # The clock was set back: that time comes once more.
            while self._points and self._points[-1][0] >= begun:
                self._points.pop()
        if not (self._points and self.step_s and self._points[-1][0] == begun):
            self._sum, self._count = 0.0, 0
            self._points.append((begun, None))
        if value is not None:
            self._sum, self._count = self._sum + value, self._count + 1
            self._points[-1] = (begun, self._sum / self._count)
        while self._points[0][0] < at - self.kept_s:
            self._points.popleft()

    def fill(self, points: Iterable[Point]) -> None:
        """Take what was recorded before the first value, oldest first."""
        first = self.oldest
        before = [
            point
            for point in points
            if first is None or (point[0] < first and point[0] + self.step_s <= first)
        ]
        self._points.extendleft(reversed(before))

    def columns(self, window_s: float, wanted: int, now: float) -> list[float | None]:
        """The means over `wanted` equal parts of the last `window_s` seconds, oldest first.

        Parts begin at whole multiples of their length, so that a graph moves on and does not shimmer.
        """
        width = window_s / wanted
        first = int(now // width) - wanted + 1
        seen: list[Point] = []
        for point in reversed(self._points):
            seen.append(point)
            if point[0] < first * width:
                break
        return _columns(seen[::-1], first, width, wanted, self.step_s)


def _columns(
    points: list[Point], first: int, width: float, wanted: int, step_s: float
) -> list[float | None]:
    held_s = _STEPS_HELD * max(step_s, _spacing(points))
    out: list[float | None] = []
    last: Point = (float("-inf"), None)
    place = 0
    for number in range(first, first + wanted):
        known, total = 0, 0.0
        fresh = False
        while place < len(points) and points[place][0] < (number + 1) * width:
            last = points[place]
            place += 1
            if last[0] >= number * width:
                fresh = True
                if last[1] is not None:
                    known, total = known + 1, total + last[1]
        if fresh:
            out.append(total / known if known else None)
        else:
            out.append(last[1] if number * width - last[0] <= held_s else None)
    return out


def _spacing(points: list[Point]) -> float:
    return (points[-1][0] - points[0][0]) / (len(points) - 1) if len(points) > 1 else 0.0


class Track:
    """One quantity over time; None where it was not known. Each window is shown from a grain of its own."""

    __slots__ = ("_grains",)

    def __init__(self) -> None:
        self._grains = (Grain(0, 600), Grain(10, 3600), Grain(60, 86400))

    def add(self, at: float, value: float | None) -> None:
        """Take down the newest value, seen at `at` (seconds since the epoch)."""
        for grain in self._grains:
            grain.add(at, value)

    def fill(self, window_s: float, points: Iterable[Point]) -> None:
        """Take what was recorded of the last `window_s` seconds before the first value."""
        self._grain(window_s).fill(points)

    def columns(self, window_s: float, wanted: int, now: float) -> list[float | None]:
        """`wanted` points over the last `window_s` seconds, oldest first."""
        return self._grain(window_s).columns(window_s, wanted, now) if wanted > 0 else []

    @property
    def oldest(self) -> float | None:
        """When the first value was, seconds since the epoch."""
        known = [grain.oldest for grain in self._grains if grain.oldest is not None]
        return min(known, default=None)

    def _grain(self, window_s: float) -> Grain:
        return next((grain for grain in self._grains if grain.kept_s >= window_s), self._grains[-1])


class History:
    """Utilisation and memory of each GPU, memory of each process."""

    def __init__(self) -> None:
        self.utilization: dict[str, Track] = {}
        self.memory: dict[str, Track] = {}
        self.processes: dict[ProcessKey, Steps] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Take down one snapshot; processes that are gone are forgotten."""
        at = snapshot.taken_at
        for device in snapshot.devices:
            _track(self.utilization, device.uuid).add(
                at, _live(device, device.utilization.gpu_ratio)
            )
            _track(self.memory, device.uuid).add(at, _live(device, memory_ratio(device)))
        seen = {process.key: process.memory_used_bytes for process in snapshot.processes}
        _forget(self.processes, seen)
        for key, used in seen.items():
            self.processes.setdefault(key, Steps()).add(at, used)

    def fill(self, window_s: float, recorded: Recorded) -> None:
        """Take what was recorded before of the GPUs, of the last `window_s` seconds."""
        for gpu in recorded.gpus:
            busy = [(point.at, point.utilization_ratio) for point in gpu.points]
            _track(self.utilization, gpu.uuid).fill(window_s, busy)
            _track(self.memory, gpu.uuid).fill(window_s, _held(gpu))

    def reach_s(self, now: float) -> float:
        """For how many seconds back something is known of any GPU."""
        known = [track.oldest for track in self.utilization.values() if track.oldest is not None]
        return max(0.0, now - min(known)) if known else 0.0


Recordings = tuple[tuple[float, Recorded], ...]


def recorded(past: Past) -> Recordings:
    """What was recorded for each window, with the window's seconds. It may take seconds."""
    now = time.time()
    read = [(one.seconds, past.read(now - one.seconds, now)) for one in WINDOWS[1:]]
    return tuple((seconds, history) for seconds, history in read if history is not None)


def memory_ratio(device: Device) -> float | None:
    """Used share of the frame buffer."""
    used = device.memory.used_bytes
    total = device.memory.total_bytes or device.facts.memory_total_bytes
    return used / total if used is not None and total else None


def _held(gpu: GpuHistory) -> list[Point]:
    total = gpu.memory_total_bytes
    return [
        (point.at, point.memory_used_bytes / total)
        if total and point.memory_used_bytes is not None
        else (point.at, None)
        for point in gpu.points
    ]


def _live(device: Device, value: float | None) -> float | None:
    return value if device.state is DeviceState.OK else None


def _track(tracks: dict[str, Track], key: str) -> Track:
    return tracks.setdefault(key, Track())


def _forget(runs: dict[ProcessKey, Steps], kept: Iterable[ProcessKey]) -> None:
    for key in runs.keys() - set(kept):
        del runs[key]

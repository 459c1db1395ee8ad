"""What was seen lately, kept in memory for the graphs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.present.graph import mean

# An hour at one sample a second.
_KEPT = 3_600


class Track:
    """The last values of one quantity; None where it was not known."""

    __slots__ = ("_count", "_values")

    def __init__(self) -> None:
        self._values: deque[float | None] = deque(maxlen=_KEPT)
        self._count = 0

    def add(self, value: float | None) -> None:
        """Take down the newest value."""
        self._values.append(value)
        self._count += 1

    def points(self, wanted: int, step: int = 1) -> list[float | None]:
        """The last `wanted` points of `step` samples each, oldest first.

        Points begin at whole multiples of `step`, so that a graph moves on and does not shimmer.
        """
        if step == 1:
            return self._tail(wanted)
        fresh = self._count % step or step
        values = self._tail((wanted - 1) * step + fresh)
        points: list[float | None] = []
        end = len(values)
        while end > 0:
            start = max(0, end - fresh)
            points.append(mean(values[start:end]))
            end, fresh = start, step
        return points[::-1]

    def _tail(self, many: int) -> list[float | None]:
        held = len(self._values)
        return [self._values[i] for i in range(max(0, held - many), held)]


class History:
    """Utilisation and memory of each GPU, memory of each process."""

    def __init__(self) -> None:
        self.utilization: dict[str, Track] = {}
        self.memory: dict[str, Track] = {}
        self.processes: dict[ProcessKey, Track] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Take down one snapshot; processes that are gone are forgotten."""
        for device in snapshot.devices:
            _track(self.utilization, device.uuid).add(_live(device, device.utilization.gpu_ratio))
            _track(self.memory, device.uuid).add(_live(device, memory_ratio(device)))
        seen = {process.key: process.memory_used_bytes for process in snapshot.processes}
        _forget(self.processes, seen)
        for key, used in seen.items():
            self.processes.setdefault(key, Track()).add(used)


def memory_ratio(device: Device) -> float | None:
    """Used share of the frame buffer."""
    used = device.memory.used_bytes
    total = device.memory.total_bytes or device.facts.memory_total_bytes
    return used / total if used is not None and total else None


def _live(device: Device, value: float | None) -> float | None:
    return value if device.state is DeviceState.OK else None


def _track(tracks: dict[str, Track], key: str) -> Track:
    return tracks.setdefault(key, Track())


def _forget(tracks: dict[ProcessKey, Track], kept: Iterable[ProcessKey]) -> None:
    for key in tracks.keys() - set(kept):
        del tracks[key]

"""The operators of a trace: their own time on the CPU and the GPU, by name and by what they were given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from gpudoctor.model.operators import OperatorShape, OperatorTime
from gpudoctor.profile.trace import Event, Trace

MOST = 200
_US = 1e-6
Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    cpu: float = 0.0
    device: float = 0.0


def operator_times(trace: Trace) -> tuple[OperatorTime, ...]:
    """All operators and annotations of `trace`, most costly first."""
    on_device = bool(trace.device)
    return tuple(
        OperatorTime(name, one.calls, one.cpu * _US, one.device * _US if on_device else None)
        for name, one in _sums(trace, lambda event: event.name)
    )


def operator_shapes(trace: Trace) -> tuple[OperatorShape, ...]:
    """The same by their tensors' types and shapes; none where the trace does not hold shapes."""
    on_device = bool(trace.device)
    if not any(event.tensors for event in trace.host):
        return ()
    return tuple(
        OperatorShape(
            name=name,
            types=tuple(kind for kind, _ in given),
            shapes=tuple(shape for _, shape in given),
            calls=one.calls,
            self_cpu_seconds=one.cpu * _US,
            self_device_seconds=one.device * _US if on_device else None,
        )
        for (name, given), one in _sums(trace, lambda event: (event.name, event.tensors))
        if given
    )


def _sums(trace: Trace, key: Callable[[Event], Key]) -> list[tuple[Key, _Sum]]:
    sums: dict[Key, _Sum] = defaultdict(_Sum)
    launched: dict[int, Key] = {}
    open_events: dict[int | str, list[tuple[Event, _Sum]]] = defaultdict(list)
    for event in trace.host:
        mine = key(event)
        one = sums[mine]
        one.calls += 1
        one.cpu += event.dur
        if event.external is not None:
            launched[event.external] = mine
        stack = open_events[event.tid]
        while stack and stack[-1][0].end <= event.ts:
            stack.pop()
        if stack:
            outer, its = stack[-1]
            its.cpu -= min(event.end, outer.end) - event.ts
        stack.append((event, one))
    for event in trace.device:
        if event.external is not None and event.external in launched:
            sums[launched[event.external]].device += event.dur
    return sorted(sums.items(), key=lambda item: -(item[1].cpu + item[1].device))[:MOST]

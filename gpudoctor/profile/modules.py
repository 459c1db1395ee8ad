"""Time of each nn.Module in the profiled window: the runner's calls, joined with the trace.

The runner notes when each module's forward ran on which thread. An operator belongs to the innermost call
that was running when it began; a kernel to the operator that launched it; an operator of the backward pass
to the forward's one that torch's "fwdbwd" arrow ties it to.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import decode
from gpudoctor.model.profile import ModuleTime
from gpudoctor.profile.module_spans import Lane, Lanes, Span, tie_backward
from gpudoctor.profile.session import regular
from gpudoctor.profile.trace import Trace

FILE = "modules.json"
_US = 1e-6
_NS = 1e-9


class ModuleSeen(msgspec.Struct, frozen=True):
    """One module, as the runner summed it; parameters are its own, outputs those of all its calls."""

    root: str
    name: str
    kind: str
    calls: int
    self_ns: int
    total_ns: int
    output_bytes: int
    parameters: int | None = None
    parameter_bytes: int | None = None


class ModulesSeen(msgspec.Struct, frozen=True):
    """modules.json: `calls` is flat, four numbers each (module, thread, begin and end in ns of the
    runner's clock, `offset_ns` behind Unix time), empty where there were too many."""

    modules: list[ModuleSeen]
    offset_ns: int
    calls: list[int]


@dataclass(slots=True)
class _Sums:
    backward_self: float = 0.0
    backward: float = 0.0
    device_self: float = 0.0
    device: float = 0.0


def read_modules(folder: Path) -> ModulesSeen | None:
    """modules.json in `folder`; None where there is none that can be read."""
    try:
        seen = decode(regular(folder / FILE), ModulesSeen, what=FILE)
    except (OSError, GpuDoctorError):
        return None
    numbers = range(len(seen.modules))
    sound = len(seen.calls) % 4 == 0 and all(number in numbers for number in seen.calls[::4])
    return seen if sound else None


def module_times(seen: ModulesSeen, trace: Trace | None) -> tuple[ModuleTime, ...]:
    """The modules that were called or have parameters, in the order in which their names are found.

    Without a trace or calls there are only the forward's times on the CPU; without kernels in the trace no
    time on the device, and without a backward pass none of that.
    """
    sums: dict[int, _Sums] = defaultdict(_Sums)
    tied = 0
    if trace is not None:
        lanes = _lanes(seen, trace)
        tied = tie_backward(lanes, trace)
        _add_backward(lanes, sums)
        _add_kernels(lanes, trace, sums)
    on_device = bool(trace is not None and trace.device and seen.calls)
    return tuple(
        _module(one, sums[number], backward=tied > 0, device=on_device)
        for number, one in enumerate(seen.modules)
        if one.calls or one.parameters
    )


def _module(seen: ModuleSeen, sums: _Sums, *, backward: bool, device: bool) -> ModuleTime:
    return ModuleTime(
        root=seen.root,
        name=seen.name,
        kind=seen.kind,
        calls=seen.calls,
        self_seconds=seen.self_ns * _NS,
        total_seconds=seen.total_ns * _NS,
        backward_self_seconds=sums.backward_self * _US if backward else None,
        backward_seconds=sums.backward * _US if backward else None,
        device_self_seconds=sums.device_self * _US if device else None,
        device_seconds=sums.device * _US if device else None,
        parameters=seen.parameters,
        parameter_bytes=seen.parameter_bytes,
        output_bytes=seen.output_bytes // seen.calls if seen.calls else None,
    )


def _lanes(seen: ModulesSeen, trace: Trace) -> Lanes:
    spans: dict[int | str, list[Span]] = defaultdict(list)
    numbers = iter(seen.calls)
    shift = seen.offset_ns - trace.base_ns
    for module, thread, begun, ended in zip(numbers, numbers, numbers, numbers, strict=True):
        spans[thread].append(Span(module, (begun + shift) / 1000, (ended + shift) / 1000))
    return {thread: Lane(found) for thread, found in spans.items()}


def _add_backward(lanes: Lanes, sums: dict[int, _Sums]) -> None:
    for lane in lanes.values():
        for span, own in lane.own_times():
            if span.caller is not None:
                sums[span.module].backward_self += own
                for module in span.modules():
                    sums[module].backward += own


def _add_kernels(lanes: Lanes, trace: Trace, sums: dict[int, _Sums]) -> None:
    launchers = {event.external: event for event in trace.host if event.external is not None}
    for kernel in trace.device:
        launcher = launchers.get(kernel.external) if kernel.external is not None else None
        lane = lanes.get(launcher.tid) if launcher is not None else None
        span = lane.at(launcher.ts) if lane is not None and launcher is not None else None
        if span is None:
            continue
        sums[span.module].device_self += kernel.dur
        for module in span.modules():
            sums[module].device += kernel.dur

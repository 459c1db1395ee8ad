"""What a trace says about the profiled window: operators, phases of the step, and the GPU."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator

from gpudoctor.model.operators import DeviceTime, RepeatedCopy
from gpudoctor.model.profile import PhaseTime, Window
from gpudoctor.profile.communication import communication, merged, overlap, waits, without
from gpudoctor.profile.kernels import kernel_times
from gpudoctor.profile.operators import operator_shapes, operator_times
from gpudoctor.profile.session import CopySeen, WindowSeen
from gpudoctor.profile.stacks import line_text
from gpudoctor.profile.trace import Event, Trace

_LOADER = "enumerate(DataLoader)#"
_STEP = ("Optimizer.step#", "Optimizer.zero_grad#")
_BACKWARD = "autograd::engine::"
_SYNCS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
_ALLOCATIONS = ("cudaMalloc", "cudaFree", "cuMemCreate", "cuMemRelease")
_US = 1e-6
_LONG_US = 100
Span = tuple[float, float]


def window_of(trace: Trace, seen: WindowSeen) -> Window:
    """The window that `trace` covers; `seen` is what the runner noted about it."""
    loader = _spans(event for event in trace.main if event.name.startswith(_LOADER))
    optimizer = _spans(event for event in trace.main if event.name.startswith(_STEP))
    backward = _backward_spans(trace, optimizer)
    free = list(_outermost(trace.main, merged(loader + optimizer + backward)))
    nodes = [event for event in trace.host if event.name.startswith(_BACKWARD)]
    long, long_nodes = _long(free), _long(nodes)
    spent = {
        "data": _covered(loader),
        "operators": sum(event.dur for event in free) * _US,
        "backward": _covered(backward),
        "optimizer": _length(without(merged(optimizer), merged(backward))),
    }
    talked = communication(trace)
    if talked is not None:
        busy = merged([*loader, *optimizer, *backward, *_spans(free)])
        talk = waits(trace)
        spent["communication"] = _covered(talk) - overlap(talk, busy) * _US
    # What the hooks on modules took is not the script's; those that ran in a backward are part of it.
    seconds = min(seen.seconds, max(seen.seconds - seen.hook_seconds, sum(spent.values())))
    python = max(0.0, seconds - sum(spent.values()))
    return Window(
        first_step=seen.first_step,
        steps=seen.steps,
        seconds=seconds,
        plain_step_seconds=seen.plain_step_seconds,
        paused_seconds=seen.open_seconds + seen.stop_seconds + seen.export_seconds,
        operator_calls=len(free),
        operator_seconds=spent["operators"],
        backward_operator_calls=len(nodes),
        long_operator_calls=len(long),
        long_operator_seconds=sum(event.dur for event in long) * _US,
        long_backward_calls=len(long_nodes),
        long_backward_seconds=sum(event.dur for event in long_nodes) * _US,
        python_seconds=python,
        operators=operator_times(trace),
        shapes=operator_shapes(trace),
        kernels=kernel_times(trace),
        phases=tuple(PhaseTime(name, time) for name, time in {**spent, "python": python}.items()),
        device=_device(trace) if seen.device else None,
        communication_seconds=None if talked is None else talked.seconds,
        exposed_communication_seconds=None if talked is None else talked.exposed_seconds,
        own_step_seconds=None if talked is None else talked.own_step_seconds,
        copies=tuple(_copy(one) for one in seen.copies),
    )


def _copy(seen: CopySeen) -> RepeatedCopy:
    file, line = seen.site or ("", 0)
    return RepeatedCopy(
        source_line=f"{file}:{line}",
        text=line_text(file, line or 0),
        source=seen.source,
        target=seen.target,
        steps=seen.steps,
        tensors=seen.tensors,
        bytes=seen.bytes,
        seconds=seen.seconds,
    )


def _spans(events: Iterable[Event]) -> list[Span]:
    return [(event.ts, event.end) for event in events]


def _covered(spans: Iterable[Span]) -> float:
    return _length(merged(spans))


def _backward_spans(trace: Trace, optimizer: list[Span]) -> list[Span]:
    """From the first to the last engine event of one backward: the main thread waits there even where, as
    on a GPU, another thread does the work."""
    # A closure's zero_grad lies within its step, and cuts one backward from the next all the same.
    cuts = sorted([*(end for _, end in optimizer), *_between_backwards(trace.main)])
    spans: dict[int, Span] = {}
    at = 0
    for event in trace.host:
        if not event.name.startswith(_BACKWARD):
            continue
        while at < len(cuts) and event.ts >= cuts[at]:
            at += 1
        begin, end = spans.get(at, (event.ts, event.end))
        spans[at] = (begin, max(end, event.end))
    return list(spans.values())


def _long(events: list[Event]) -> list[Event]:
    """The operators that mostly take long; that the CPU was taken from a short one does not make it one."""
    named: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        named[event.name].append(event)
    return [
        event
        for group in named.values()
        if statistics.median(one.dur for one in group) >= _LONG_US
        for event in group
    ]


def _between_backwards(main: list[Event]) -> Iterator[float]:
    """When the main thread began something that no backward called: where gradients are accumulated, the
    next batch and its forward lie between two backwards."""
    reached = float("-inf")
    for event in main:
        if event.name.startswith(_BACKWARD):
            reached = max(reached, event.end)
        elif event.ts >= reached:
            yield event.ts


def _outermost(main: list[Event], taken: list[Span]) -> Iterator[Event]:
    """The main thread's outermost operators that begin in none of the spans `taken`."""
    reached, at = float("-inf"), 0
    for event in main:
        if event.cat != "cpu_op" or event.ts < reached:
            continue
        while at < len(taken) and taken[at][1] <= event.ts:
            at += 1
        if at < len(taken) and taken[at][0] <= event.ts:
            continue
        reached = event.end
        yield event


def _length(spans: list[Span]) -> float:
    return sum(end - begin for begin, end in spans) * _US


def _device(trace: Trace) -> DeviceTime:
    kernels = [event for event in trace.device if event.cat == "kernel"]
    copies = [event for event in trace.device if event.cat == "gpu_memcpy"]
    allocations = [
        e for e in trace.runtime if e.name.startswith(_ALLOCATIONS) and "Host" not in e.name
    ]
    return DeviceTime(
        busy_seconds=_covered(_spans(trace.device)),
        kernels=len(kernels),
        kernel_seconds=sum(event.dur for event in kernels) * _US,
        copies=len(copies),
        copy_seconds=sum(event.dur for event in copies) * _US,
        pageable_copy_seconds=sum(e.dur for e in copies if "Pageable" in e.name) * _US,
        sync_seconds=sum(e.dur for e in trace.runtime if e.name.startswith(_SYNCS)) * _US,
        exposed_copy_seconds=_length(without(merged(_spans(copies)), merged(_spans(kernels)))),
        allocation_calls=len(allocations),
        allocation_seconds=sum(event.dur for event in allocations) * _US,
    )

"""How long the ranks talked to each other inside a trace, and how much of it nothing else hid."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from gpudoctor.profile.trace import Event, Trace

# torch's process groups mark the whole of a collective so; for NCCL the kernel itself is what counts.
_MARKS = ("gloo:", "mpi:", "ucc:")
_CALLS = ("c10d::", "torch.distributed", "torch::distributed")
_STEP = "Optimizer.step#"
_US = 1e-6
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Communication:
    """Seconds of it in a trace, and those beside which nothing was computed. `own_step_seconds` is the
    median step less its exposed part: one step that something else interrupted does not move it."""

    seconds: float
    exposed_seconds: float
    own_step_seconds: float | None


def communication(trace: Trace) -> Communication | None:
    """What the ranks said to each other in `trace`; None: nothing.

    A collective lasts until the slowest rank has come, so waiting for it is part of this.
    """
    talk = [event for event in trace.device if event.name.startswith("nccl")]
    work: list[Event] = [event for event in trace.device if not event.name.startswith("nccl")]
    if not talk:
        talk = [event for event in trace.host if event.name.startswith(_MARKS)]
        work = [e for e in trace.host if e.cat == "cpu_op" and not e.name.startswith(_CALLS)]
    if not talk:
        return None
    spans = merged((event.ts, event.end) for event in talk)
    exposed = without(spans, merged((event.ts, event.end) for event in work))
    ends = [event.end for event in trace.main if event.name.startswith(_STEP)]
    own = [end - begin - overlap(exposed, [(begin, end)]) for begin, end in pairwise(sorted(ends))]
    return Communication(
        _length(spans), _length(exposed), statistics.median(own) * _US if own else None
    )


def _length(spans: list[Span]) -> float:
    return sum(end - begin for begin, end in spans) * _US


def waits(trace: Trace) -> list[Span]:
    """When the CPU's own collectives ran, during which the main thread may stand and wait for them."""
    return merged((e.ts, e.end) for e in trace.host if e.name.startswith(_MARKS))


def merged(spans: Iterable[Span]) -> list[Span]:
    """The union of `spans`, in order and apart from each other."""
    union: list[Span] = []
    for begin, end in sorted(spans):
        if union and begin <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((begin, end))
    return union


def overlap(one: list[Span], other: list[Span]) -> float:
    """How much of `one` lies in `other`, both being unions as `merged` gives them."""
    shared, at = 0.0, 0
    for begin, end in one:
        while at < len(other) and other[at][1] <= begin:
            at += 1
        look = at
        while look < len(other) and other[look][0] < end:
            shared += min(end, other[look][1]) - max(begin, other[look][0])
            look += 1
    return shared


def without(one: list[Span], other: list[Span]) -> list[Span]:
    """What of `one` does not lie in `other`, both being unions as `merged` gives them."""
    left: list[Span] = []
    at = 0
    for begin, end in one:
        while at < len(other) and other[at][1] <= begin:
            at += 1
        look, reached = at, begin
        while look < len(other) and other[look][0] < end:
            if other[look][0] > reached:
                left.append((reached, other[look][0]))
            reached = max(reached, other[look][1])
            look += 1
        if reached < end:
            left.append((reached, end))
    return left

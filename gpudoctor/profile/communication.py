"""How long the ranks talked to each other inside a trace, and how much of it nothing else hid."""

from __future__ import annotations

from collections.abc import Iterable

from gpudoctor.profile.trace import Event, Trace

# torch's process groups mark the whole of a collective so; for NCCL the kernel itself is what counts.
_MARKS = ("gloo:", "mpi:", "ucc:")
_CALLS = ("c10d::", "torch.distributed", "torch::distributed")
_US = 1e-6
Span = tuple[float, float]


def communication(trace: Trace) -> tuple[float | None, float | None]:
    """Seconds of communication, and those of them beside which nothing was computed; None: no such thing.

    A collective lasts until the slowest rank has come, so waiting for it is part of this.
    """
    talk = [event for event in trace.device if event.name.startswith("nccl")]
    work: list[Event] = [event for event in trace.device if not event.name.startswith("nccl")]
    if not talk:
        talk = [event for event in trace.host if event.name.startswith(_MARKS)]
        work = [e for e in trace.host if e.cat == "cpu_op" and not e.name.startswith(_CALLS)]
    if not talk:
        return None, None
    spans = merged((event.ts, event.end) for event in talk)
    hidden = overlap(spans, merged((event.ts, event.end) for event in work))
    whole = sum(end - begin for begin, end in spans)
    return whole * _US, (whole - hidden) * _US


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

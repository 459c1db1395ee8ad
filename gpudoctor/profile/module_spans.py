"""When modules ran on each thread, in their forward and, by way of their operators, in the backward."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from gpudoctor.profile.trace import Event, Trace

Thread = int | str


@dataclass(slots=True, eq=False)
class Span:
    """A call of module number `module`, or an operator of its backward; `ts` and `end` in microseconds.

    `inside` is the innermost span around it on its thread. An operator of the backward also has a `caller`:
    the forward's span whose operator it belongs to.
    """

    module: int
    ts: float
    end: float
    caller: Span | None = None
    inside: Span | None = None

    def modules(self) -> set[int]:
        """The numbers of its module and of those that called that one."""
        found, span = set(), self
        while True:
            found.add(span.module)
            around = span.caller if span.caller is not None else span.inside
            if around is None:
                return found
            span = around


class Lane:
    """The spans of one thread, nested."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = sorted(spans, key=lambda span: (span.ts, -span.end))
        self._starts = [span.ts for span in self.spans]
        stack: list[Span] = []
        for span in self.spans:
            while stack and stack[-1].end <= span.ts:
                stack.pop()
            span.inside = stack[-1] if stack else None
            stack.append(span)

    def at(self, ts: float) -> Span | None:
        """The innermost span that was open at `ts`."""
        index = bisect_right(self._starts, ts) - 1
        span = self.spans[index] if index >= 0 else None
        while span is not None and span.end <= ts:
            span = span.inside
        return span

    def own_times(self) -> Iterator[tuple[Span, float]]:
        """Each span with its time in microseconds, without that of the spans in it."""
        own = {id(span): span.end - span.ts for span in self.spans}
        for span in self.spans:
            if span.inside is not None:
                own[id(span.inside)] -= min(span.end, span.inside.end) - span.ts
        return ((span, max(0.0, own[id(span)])) for span in self.spans)


Lanes = dict[Thread, Lane]


def tie_backward(lanes: Lanes, trace: Trace) -> int:
    """Adds to `lanes` the backward's operators whose forward a module ran; how many there are."""
    ends = {arrow.id: arrow for arrow in trace.arrows if arrow.ph == "f"}
    wanted = {(end.tid, end.ts) for end in ends.values()}
    operators: dict[tuple[Thread, float], Event] = {}
    for event in trace.host:
        if (event.tid, event.ts) in wanted:
            operators.setdefault((event.tid, event.ts), event)
    added: dict[Thread, list[Span]] = defaultdict(list)
    for arrow in trace.arrows:
        end = ends.get(arrow.id) if arrow.ph == "s" else None
        operator = operators.get((end.tid, end.ts)) if end is not None else None
        lane = lanes.get(arrow.tid)
        caller = lane.at(arrow.ts) if lane is not None else None
        # An arrow back in time would have a span be its own caller, and looking for the first never end.
        if end is None or not arrow.ts < end.ts:
            continue
        if operator is not None and caller is not None:
            span = Span(caller.module, operator.ts, operator.end, caller)
            added[operator.tid].append(span)
    for thread, spans in added.items():
        lane = lanes.get(thread)
        lanes[thread] = Lane([*(lane.spans if lane is not None else ()), *spans])
    return sum(map(len, added.values()))

"""What CUDA's allocator did in the profiled window: fragmentation, and whose memory it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import decode
from gpudoctor.model.profile import AllocationSite, MemoryHistory
from gpudoctor.profile.session import regular

FILE = "memory.json"
_MOST_SITES = 20


class BlockSeen(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a segment; `state` is active_allocated, another active_…, or inactive."""

    address: int
    size: int
    requested: int
    state: str
    site: int


class SegmentSeen(msgspec.Struct, frozen=True, array_like=True):
    """What one cudaMalloc gave, in bytes."""

    device: int
    total: int
    allocated: int
    active: int
    blocks: list[BlockSeen]


class EntrySeen(msgspec.Struct, frozen=True, array_like=True):
    """One thing that the allocator did."""

    action: str
    address: int
    size: int
    site: int


class HistorySeen(msgspec.Struct, frozen=True):
    """memory.json; `traces` has a list for each device, of at most `most_entries`, the oldest first."""

    sites: list[tuple[str, int, str]]
    segments: list[SegmentSeen]
    traces: list[list[EntrySeen]]
    most_entries: int


@dataclass(frozen=True, slots=True)
class _Live:
    """A tensor's memory as it was asked for."""

    size: int
    site: int


_Memory = dict[int, _Live]


def read_history(folder: Path) -> tuple[MemoryHistory, ...]:
    """What memory.json in `folder` comes to, for each device; nothing where it cannot be read."""
    try:
        seen = decode(regular(folder / FILE), HistorySeen, what=FILE)
    except (OSError, GpuDoctorError):
        return ()
    return histories(seen)


def histories(seen: HistorySeen) -> tuple[MemoryHistory, ...]:
    """One history for each device that holds memory."""
    devices = sorted({segment.device for segment in seen.segments})
    return tuple(_history(seen, device) for device in devices)


def _history(seen: HistorySeen, device: int) -> MemoryHistory:
    segments = [segment for segment in seen.segments if segment.device == device]
    trace = seen.traces[device] if device < len(seen.traces) else []
    at_end = {
        block.address: _Live(block.requested, block.site)
        for segment in segments
        for block in segment.blocks
        if block.state == "active_allocated"
    }
    peak = _at_peak(_at_begin(at_end, trace), trace)
    free = [
        (block.size, len(segment.blocks) > 1)
        for segment in segments
        for block in segment.blocks
        if not block.state.startswith("active")
    ]
    return MemoryHistory(
        device=device,
        reserved_bytes=sum(segment.total for segment in segments),
        allocated_bytes=sum(segment.allocated for segment in segments),
        active_bytes=sum(segment.active for segment in segments),
        inactive_split_bytes=sum(size for size, split in free if split),
        largest_free_bytes=max((size for size, _ in free), default=0),
        segments=len(segments),
        events=len(trace),
        cut=len(trace) >= seen.most_entries,
        failed=sum(entry.action == "oom" for entry in trace),
        peak_bytes=sum(one.size for one in peak.values()),
        live=_sites(seen, at_end.values()),
        peak=_sites(seen, peak.values()),
    )


def _at_begin(at_end: _Memory, trace: Iterable[EntrySeen]) -> _Memory:
    """What was live before the trace: what it frees or leaves live without having allocated it."""
    begin: _Memory = {}
    allocated: set[int] = set()
    for entry in trace:
        if entry.action == "alloc":
            allocated.add(entry.address)
        elif entry.action == "free_requested" and entry.address not in allocated:
            begin.setdefault(entry.address, _Live(entry.size, entry.site))
    return begin | {
        address: one
        for address, one in at_end.items()
        if address not in allocated and address not in begin
    }


def _at_peak(begin: _Memory, trace: list[EntrySeen]) -> _Memory:
    """What was live when most was; the first such moment."""
    total = most = sum(one.size for one in begin.values())
    best, live = 0, dict(begin)
    for number, entry in enumerate(trace, 1):
        total += _apply(live, entry)
        if total > most:
            most, best = total, number
    live = dict(begin)
    for entry in trace[:best]:
        _apply(live, entry)
    return live


def _apply(live: _Memory, entry: EntrySeen) -> int:
    """Does to `live` what the allocator did; by how many bytes it grew."""
    if entry.action == "alloc":
        before = live.get(entry.address)
        live[entry.address] = _Live(entry.size, entry.site)
        return entry.size - (before.size if before is not None else 0)
    if entry.action == "free_requested":
        gone = live.pop(entry.address, None)
        return -gone.size if gone is not None else 0
    return 0


def _sites(seen: HistorySeen, live: Iterable[_Live]) -> tuple[AllocationSite, ...]:
    sums: dict[int, list[int]] = defaultdict(list)
    for one in live:
        sums[one.site if one.site in range(len(seen.sites)) else -1].append(one.size)
    found = []
    for number, sizes in sums.items():
        file, line, function = seen.sites[number] if number >= 0 else (None, 0, None)
        place = None if file is None else f"{file}:{line}"
        found.append(AllocationSite(place, function, len(sizes), sum(sizes)))
    return tuple(sorted(found, key=lambda one: -one.bytes)[:_MOST_SITES])

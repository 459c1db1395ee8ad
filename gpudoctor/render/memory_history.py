"""What CUDA's allocator did in the profiled window, for the terminal; the HTML report shares its words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from gpudoctor.model.profile import AllocationSite, MemoryHistory, Profile
from gpudoctor.render.profile_table import table, title
from gpudoctor.render.text import safe
from gpudoctor.units import count, data_size, percent

_TOP = 5
BEFORE = "allocated before the window"


def in_words(history: MemoryHistory) -> str:
    """One device's memory at the end of the window, in one line."""
    split = data_size(history.inactive_split_bytes)
    words = [
        f"{data_size(history.reserved_bytes)} reserved in {count(history.segments)} segments",
        f"{data_size(history.allocated_bytes)} allocated",
        f"{data_size(history.active_bytes)} active",
        f"{split} ({percent(history.fragmentation_ratio)} of reserved) free but split",
        f"largest free piece {data_size(history.largest_free_bytes)}",
    ]
    if history.failed:
        words.append(f"out of memory {count(history.failed)} times")
    if history.cut:
        words.append(f"only the last {count(history.events)} events are known")
    return ", ".join(words)


def place(site: AllocationSite, short: str) -> str:
    """Where memory was allocated; `short` is its line as it is to be shown."""
    return BEFORE if site.source_line is None else f"{short} {site.function}"


def memory_tables(profile: Profile) -> Iterator[RenderableType]:
    """Fragmentation, and the lines whose memory was live when most was."""
    for history in profile.memory_history:
        yield title(f"Memory of cuda:{history.device} in the profiled window")
        yield Text(in_words(history))
        grid = table((f"LIVE AT THE PEAK OF {data_size(history.peak_bytes)}", "PIECES", "SIZE"))
        for one in history.peak[:_TOP]:
            shown = _short(one.source_line, profile.run.cwd)
            grid.add_row(safe(place(one, shown)), count(one.blocks), data_size(one.bytes))
        yield grid


def _short(line: str | None, cwd: str) -> str:
    return (line or "").removeprefix(f"{cwd}/")

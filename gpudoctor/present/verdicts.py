"""What is said of a process that may be left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gpudoctor import units
from gpudoctor.model.orphan import Orphan, Verdict, Weight
from gpudoctor.model.process import GpuProcess
from gpudoctor.present.cells import Cell, Level

# Two ways of reading a start time agree to within a tick of the kernel's clock.
_SAME_START_S = 1.0
_LEVELS = {Verdict.ORPHAN: Level.BAD, Verdict.SUSPECT: Level.WARN, Verdict.IN_USE: Level.DIM}

Verdicts = Mapping[int, Orphan]
NO_VERDICTS: Verdicts = {}


def by_pid(orphans: Iterable[Orphan]) -> Verdicts:
    """Those that are, or may be, left over, by pid."""
    return {one.pid: one for one in orphans if one.verdict is not Verdict.IN_USE}


def verdict_of(process: GpuProcess, verdicts: Verdicts) -> Orphan | None:
    """The verdict on this very process: not on an earlier one that had its pid."""
    found = verdicts.get(process.pid)
    if found is None:
        return None
    judged, seen = found.key.started, process.started
    if judged is None or seen is None:
        return found if judged is seen else None
    return found if abs(judged - seen) <= _SAME_START_S else None


def verdict_cell(found: Orphan | None, *, settled: bool = True) -> Cell:
    """The verdict in a word; empty where nothing speaks against a process that was watched long enough."""
    if found is None and not settled:
        return Cell("judging", Level.DIM)
    return Cell("") if found is None else Cell(found.verdict.value, _LEVELS[found.verdict])


def verdict_level(found: Orphan) -> Level:
    """How urgent the verdict is."""
    return _LEVELS[found.verdict]


def sentence(found: Orphan) -> str:
    """The verdict with its strongest reason."""
    strong = [one for one in found.reasons if one.weight in (Weight.HIGH, Weight.MEDIUM)]
    why = f": {units.printable(strong[0].text)}" if strong else ""
    whose = f" of {units.printable(found.user)}" if found.user else ""
    held = units.data_size(found.memory_used_bytes)
    gpus = ", ".join(str(index) for index in found.gpus) or units.UNKNOWN
    may = "is left over" if found.verdict is Verdict.ORPHAN else "may be left over"
    return f"pid {found.pid}{whose} {may} with {held} on GPU {gpus}{why}"

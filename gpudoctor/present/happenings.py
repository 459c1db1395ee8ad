"""What happened on this machine over time: Xids, GPUs that fell silent, findings, leftovers, slow clocks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gpudoctor import units
from gpudoctor.history.values import GpuHistory, GpuPoint, History, Note
from gpudoctor.model.snapshot import GpuEvent, Snapshot
from gpudoctor.model.xids import XIDS, advice
from gpudoctor.present.cells import Cell, Level, Row
from gpudoctor.present.columns import Column

COLUMNS = (
    Column("time", "TIME", 11),
    Column("gpu", "GPU", 3, right=True),
    Column("kind", "EVENT", 9),
    Column("meaning", "WHAT IT MEANS", 26, grow=3),
    Column("action", "WHAT TO DO AT ONCE", 20, grow=2),
)
# In the order in which they are chosen.
KINDS = ("xid", "gpu", "finding", "orphan", "slow", "other")
_WORDS = {"xid": "Xids", "gpu": "silent GPUs", "finding": "findings", "orphan": "left over"}
_WORDS |= {"slow": "slowed", "other": "others"}
_SEVERITIES = {"error": Level.BAD, "warning": Level.WARN}
# A stretch counts as slowed where most of its samples were; shorter ones are everyday life.
_SLOWED_FROM = 0.5
_LEAST_S = 60.0
# Two ways of keeping a moment differ by less than this.
_SAME_S = 0.01


@dataclass(frozen=True, slots=True)
class Happening:
    """One line. `at` in seconds since the epoch; `uuid` of the GPU that it is about, if any."""

    at: float
    kind: str
    name: str
    level: Level
    meaning: str
    action: str = units.UNKNOWN
    gpus: tuple[int, ...] = ()
    uuid: str | None = None

    @property
    def key(self) -> str:
        """Which line it is, whatever its place."""
        return f"{self.at}{self.kind}{self.name}{self.uuid}{self.gpus}{self.meaning}"


def happenings(snapshot: Snapshot, recorded: History | None = None) -> tuple[Happening, ...]:
    """Everything that is known, the newest first: what this screen saw, and what a daemon recorded."""
    indices = {device.uuid: device.index for device in snapshot.devices}
    uuids = {index: uuid for uuid, index in indices.items()}
    found: list[Happening] = []
    if recorded is not None:
        found += [_event(one, indices) for one in recorded.events]
        found += [_note(one, uuids) for one in recorded.notes]
        for gpu in recorded.gpus:
            found += _slowed(gpu)
    known = [(one.uuid, one.name, one.at) for one in found if one.kind in ("xid", "other")]
    live = [_event(one, indices) for one in snapshot.events]
    found += [one for one in live if not _told(one, known)]
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def _told(one: Happening, known: Sequence[tuple[str | None, str, float]]) -> bool:
    return any(
        (uuid, name) == (one.uuid, one.name) and abs(at - one.at) < _SAME_S
        for uuid, name, at in known
    )


def summary(found: Iterable[Happening], chosen: str | None) -> tuple[Cell, ...]:
    """How many there are of each kind, the chosen one marked; only kinds of which there are any."""
    count = Counter(one.kind for one in found)
    cells = [Cell(f"all {count.total()}", Level.NOTICE if chosen is None else Level.DIM)]
    for kind in KINDS:
        if count[kind]:
            level = Level.NOTICE if kind == chosen else Level.DIM
            cells.append(Cell(f"{_WORDS[kind]} {count[kind]}", level))
    return tuple(cells)


def next_kind(found: Iterable[Happening], chosen: str | None) -> str | None:
    """The kind after the chosen one of which there is any; None, which is all, after the last."""
    present = [kind for kind in KINDS if any(one.kind == kind for one in found)]
    order: list[str | None] = [None, *present]
    place = order.index(chosen) if chosen in order else 0
    return order[(place + 1) % len(order)]


def happening_row(one: Happening, now: float) -> Row:
    """The line as a row."""
    cells = (
        Cell(moment(one.at, now)),
        Cell(",".join(map(str, one.gpus)) or units.UNKNOWN),
        Cell(one.name, one.level),
        Cell(one.meaning),
        Cell(one.action, Level.DIM if one.action == units.UNKNOWN else Level.PLAIN),
    )
    return Row(one.key, cells)


def moment(at: float, now: float) -> str:
    """The time of day where it was today, else the day with it."""
    then, today = time.localtime(at), time.localtime(now)
    same = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same else "%m-%d %H:%M", then)


def _event(event: GpuEvent, indices: dict[str, int]) -> Happening:
    is_xid = event.kind == "xid"
    known = XIDS.get(event.code) if is_xid else None
    index = indices.get(event.uuid)
    return Happening(
        event.at,
        "xid" if is_xid else "other",
        f"Xid {event.code}" if is_xid else f"{event.kind} {event.code}",
        Level.BAD,
        known.meaning if known else units.text(units.printable(event.text)),
        (advice(event.code) or units.UNKNOWN) if known else units.UNKNOWN,
        () if index is None else (index,),
        event.uuid,
    )


def _note(note: Note, uuids: dict[int, str]) -> Happening:
    level = Level.GOOD if note.ended else _SEVERITIES.get(note.severity, Level.NOTICE)
    kind = note.kind if note.kind in KINDS else "other"
    name = {"gpu": "silent", "orphan": "left over"}.get(kind, kind)
    uuid = uuids.get(note.gpus[0]) if note.gpus else None
    words = f"over: {note.text}" if note.ended else note.text
    return Happening(note.at, kind, name, level, units.printable(words), gpus=note.gpus, uuid=uuid)


def _slowed(gpu: GpuHistory) -> Iterator[Happening]:
    """The stretches in which something held the GPU's clocks down, from its points."""
    step = gpu.step_seconds
    run: list[GpuPoint] = []
    for point in gpu.points:
        slowed = point.slowed_ratio is not None and point.slowed_ratio >= _SLOWED_FROM
        if run and (not slowed or point.at - run[-1].at > 2.5 * step):
            yield from _stretch(gpu, run)
            run = []
        if slowed:
            run.append(point)
    yield from _stretch(gpu, run)


def _stretch(gpu: GpuHistory, run: Sequence[GpuPoint]) -> Iterator[Happening]:
    if not run or (seconds := run[-1].at - run[0].at + gpu.step_seconds) < _LEAST_S:
        return
    hottest = max(
        (one.temperature_celsius for one in run if one.temperature_celsius is not None),
        default=None,
    )
    clocks = [one.sm_clock_hertz for one in run if one.sm_clock_hertz is not None]
    mean = sum(clocks) / len(clocks) if clocks else None
    words = (
        f"clocks held down for {units.age(seconds)}: "
        f"{units.hertz(mean)} on average, at most {units.celsius(hottest)}"
    )
    yield Happening(
        run[0].at, "slow", "slowed", Level.WARN, words, gpus=(gpu.index,), uuid=gpu.uuid
    )

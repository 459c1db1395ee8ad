"""The page of `gpudoctor history`."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpudoctor.history.values import GpuHistory, GpuPoint, History, Note, ProcessSpan
from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.model.xids import advice, in_words
from gpudoctor.render.sparkline import columns, sparkline
from gpudoctor.render.text import safe
from gpudoctor.units import UNKNOWN, celsius, data_size, duration, percent, watts

_LABEL_WIDTH = 13
_NUMBERS_WIDTH = 30
# What is missing for longer than so many steps is a gap and not a late sample.
_GAP_STEPS = 3


class _Curve(NamedTuple):
    """A row of a GPU: what is drawn, up to what, and how its numbers are written."""

    label: str
    read: Callable[[GpuPoint], float | None]
    text: Callable[[float | None], str]
    highest: float | None = None


def page(
    history: History, *, width: int, zone: dt.tzinfo | None = None
) -> Iterator[RenderableType]:
    """Curves of each GPU, the processes, the events. `zone` None: the machine's own time zone."""
    span = f"{_moment(history.since, zone)} to {_moment(history.until, zone)}"
    yield Text(span, style="dim")
    if history.simulated:
        yield Text("SIMULATED: of a machine that is made up (--demo)", style="yellow")
    if not any(gpu.points for gpu in history.gpus):
        yield Text("Nothing was recorded in this time.")
    for gpu in history.gpus:
        if gpu.points:
            yield Text()
            yield from _gpu(gpu, history, width, zone)
    if history.processes:
        yield Text()
        yield _processes(history, zone)
    if history.events or history.notes:
        yield Text()
        yield events(history, zone=zone)


def events(history: History, *, zone: dt.tzinfo | None = None) -> RenderableType:
    """What the driver told and what the daemon noticed, oldest first."""
    index = {gpu.uuid: str(gpu.index) for gpu in history.gpus}
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title in ("TIME", "GPU", "EVENT", "MEANING"):
        grid.add_column(title, no_wrap=title != "MEANING")
    rows: list[tuple[float, str, str, Text]] = [
        (event.at, index.get(event.uuid, UNKNOWN), _named(event), _meaning(event))
        for event in history.events
    ]
    rows += [(note.at, _where(note), _kind(note), _noted(note)) for note in history.notes]
    for at, where, what, meaning in sorted(rows, key=lambda row: row[0]):
        grid.add_row(_moment(at, zone), where, what, meaning)
    return grid


def _gpu(
    gpu: GpuHistory, history: History, width: int, zone: dt.tzinfo | None
) -> Iterator[RenderableType]:
    yield Text.assemble((f"GPU {gpu.index}", "bold"), "  ", safe(gpu.name))
    room = max(20, min(width, 160) - _LABEL_WIDTH - _NUMBERS_WIDTH)
    power = max(_power(it) for it in history.gpus)
    for curve in _curves(gpu, power):
        known = [value for point in gpu.points if (value := curve.read(point)) is not None]
        if known and (curve.label != "slowed down" or any(known)):
            yield _row(curve, gpu, known, history, room)
    for begun, ended in _down(gpu):
        until = "the end" if ended is None else _moment(ended, zone)
        yield Text(f"  did not answer from {_moment(begun, zone)} to {until}", style="red")


def _power(gpu: GpuHistory) -> float:
    return max((point.power_watts or 0.0 for point in gpu.points), default=0.0)


def _curves(gpu: GpuHistory, most_power: float) -> tuple[_Curve, ...]:
    return (
        _Curve("utilisation", lambda it: it.utilization_ratio, percent, 1.0),
        _Curve("SMs active", lambda it: it.sm_active_ratio, percent, 1.0),
        _Curve("memory", lambda it: it.memory_used_bytes, data_size, gpu.memory_total_bytes),
        _Curve("power", lambda it: it.power_watts, watts, most_power),
        _Curve("temperature", lambda it: it.temperature_celsius, celsius, 100.0),
        _Curve("slowed down", lambda it: it.slowed_ratio, percent, 1.0),
    )


def _row(
    curve: _Curve, gpu: GpuHistory, known: Sequence[float], history: History, room: int
) -> Text:
    points = [(point.at, curve.read(point)) for point in gpu.points]
    most = max(known)
    drawn = sparkline(
        columns(points, history.since, history.until, room, holds=gpu.step_seconds),
        curve.highest or most or 1.0,
    )
    numbers = f"mean {curve.text(sum(known) / len(known))}, most {curve.text(most)}"
    return Text.assemble(
        f"  {curve.label:<{_LABEL_WIDTH - 2}}", (drawn, "cyan"), "  ", (numbers, "dim"),
        no_wrap=True, overflow="crop",
    )  # fmt: skip


def _down(gpu: GpuHistory) -> Iterator[tuple[float, float | None]]:
    """The stretches in which the daemon ran but the GPU did not answer."""
    begun: float | None = None
    for point in gpu.points:
        if point.up_ratio < 0.5 and begun is None:
            begun = point.at
        elif point.up_ratio >= 0.5 and begun is not None:
            yield begun, point.at
            begun = None
    if begun is not None:
        yield begun, None


def _processes(history: History, zone: dt.tzinfo | None) -> RenderableType:
    index = {gpu.uuid: str(gpu.index) for gpu in history.gpus}
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for title in ("GPU", "PID", "USER", "SEEN FROM", "FOR", "MOST MEM", "SM"):
        grid.add_column(title, no_wrap=True, justify="right" if title in _RIGHT else "left")
    grid.add_column("COMMAND", no_wrap=True, overflow="ellipsis", ratio=1)
    for span in history.processes:
        grid.add_row(
            index.get(span.uuid, UNKNOWN),
            str(span.pid),
            safe(span.user or UNKNOWN),
            _moment(span.first_seen, zone) + _still(span, history),
            duration(span.last_seen - span.first_seen),
            data_size(span.memory_peak_bytes),
            percent(span.sm_mean_ratio),
            safe(shlex.join(span.command) or span.name or UNKNOWN),
        )
    return grid


_RIGHT = ("PID", "FOR", "MOST MEM", "SM")


def _still(span: ProcessSpan, history: History) -> str:
    """A mark for a process that was there at the last sample."""
    last = max((gpu.points[-1].at for gpu in history.gpus if gpu.points), default=0.0)
    step = max((gpu.step_seconds for gpu in history.gpus), default=1.0)
    return " *" if span.last_seen >= last - _GAP_STEPS * step else ""


def _named(event: GpuEvent) -> str:
    return f"Xid {event.code}" if event.kind == "xid" else f"{event.kind} {event.code}"


def _where(note: Note) -> str:
    return ",".join(str(index) for index in note.gpus) or UNKNOWN


def _kind(note: Note) -> str:
    return {"gpu": "GPU", "orphan": "orphan"}.get(note.kind, note.kind) + (
        " gone" if note.ended and note.kind != "gpu" else ""
    )


def _noted(note: Note) -> Text:
    told = safe(f"{note.name}: {note.text}" if note.name else note.text)
    told.stylize("dim" if note.ended else "red" if note.severity == "error" else "")
    return told


def _meaning(event: GpuEvent) -> Text:
    is_xid = event.kind == "xid"
    told = in_words(event.code, event.text) if is_xid else event.text
    what = advice(event.code) if is_xid else None
    return safe(f"{told}; NVIDIA's catalogue: {what}" if what else told or UNKNOWN)


def _moment(at: float, zone: dt.tzinfo | None) -> str:
    return dt.datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S")

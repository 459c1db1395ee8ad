"""Which GPU stands behind each CUDA ordinal, as a picture, and what each token of the variable did."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gpudoctor import units
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.visible import Standing, TokenOutcome, Visibility, VisibleDevice
from gpudoctor.present.cells import Cell, Level
from gpudoctor.present.glyphs import Glyphs, fitted
from gpudoctor.present.wires import ascii_wires, wires
from gpudoctor.present.words import Words, line

_LEVELS = {
    TokenOutcome.SELECTED: Level.GOOD,
    TokenOutcome.DROPPED: Level.WARN,
    TokenOutcome.ENDS: Level.BAD,
    TokenOutcome.EMPTIES: Level.BAD,
    TokenOutcome.NOT_READ: Level.WARN,
}
# Neighbouring lines differ.
_INKS = (Level.NOTICE, Level.GOOD, Level.WARN, Level.PLAIN)
_RIGHT = 16
_LEAST_GAP, _MOST_GAP = 6, 36
_MOST_LEFT = 58
# NVML writes the PCI domain with eight digits, all others with four.
_BUS_ID = len("0000:00:00.0")


def parsed(text: str) -> str | None:
    """The value that was typed: nothing typed is an unset variable, `""` one that is set and empty."""
    if text == "":
        return None
    return "" if text in ('""', "''") else text


def typed(value: str | None) -> str:
    """The opposite of `parsed`."""
    return "" if value is None else value or '""'


def assignment(visible: str | None, order: str | None) -> str:
    """The shell command that sets both variables so, or takes them away."""
    words = []
    for name, value in (("CUDA_DEVICE_ORDER", order), ("CUDA_VISIBLE_DEVICES", visible)):
        words.append(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
    return "; ".join(words)


def picture(
    answer: Visibility, gpus: Sequence[GpuRow], width: int, set_: Glyphs
) -> Iterator[Words]:
    """nvidia-smi's GPUs at the left, CUDA's ordinals at the right, lines between them."""
    things = list(_things(gpus))
    left = min(_MOST_LEFT, max((len(text) for _, text in things), default=0) + 1)
    gap = min(_MOST_GAP, width - left - _RIGHT)
    if gap < _LEAST_GAP:
        left, gap = max(10, width - _RIGHT - _LEAST_GAP), _LEAST_GAP
    places = {uuid: row for row, (uuid, _) in enumerate(things)}
    shown = [one for one in answer.visible if one.uuid in places]
    pairs = [(places[one.uuid], right) for right, one in enumerate(shown)]
    draw = ascii_wires if set_.plain else wires
    between = draw(pairs, gap, max(len(things), len(shown)))
    inks = {left_row: number for number, (left_row, _) in enumerate(pairs)}
    yield _heading(left, gap)
    for row, marks in enumerate(between):
        uuid, text = things[row] if row < len(things) else ("", "")
        level = _ink(inks.get(places.get(uuid, -1)))
        cells = [Cell(fitted(set_.text(text), left, set_), level)]
        cells += [Cell(mark, _ink(number)) for mark, number in marks]
        if row < len(shown):
            cells.append(Cell(_ordinal(shown[row]), _ink(row)))
        yield tuple(cells)


def _heading(left: int, gap: int) -> Words:
    return (Cell("nvidia-smi".ljust(left + gap) + " CUDA", Level.DIM),)


def _ink(number: int | None) -> Level:
    return Level.DIM if number is None else _INKS[number % len(_INKS)]


def _things(gpus: Sequence[GpuRow]) -> Iterator[tuple[str, str]]:
    """GPUs, and their MIG instances under them, by UUID."""
    for gpu in gpus:
        facts = gpu.facts
        name = units.printable(facts.name).removeprefix("NVIDIA ")
        yield facts.uuid, f"GPU {facts.index}  {name}  {facts.pci_bus_id[-_BUS_ID:]}"
        for part in gpu.mig.instances:
            place = f"GI {part.gpu_instance} CI {part.compute_instance}"
            yield part.uuid, f"  MIG {units.text(part.name)}  {place}"


def _ordinal(device: VisibleDevice) -> str:
    name = "cuda:?" if device.ordinal is None else f"cuda:{device.ordinal}"
    part = "" if device.gpu_instance is None else f".{device.gpu_instance}"
    return f" {name:<7} GPU {units.text(device.nvml_index)}{part}"


def answer_lines(answer: Visibility) -> Iterator[Words]:
    """What each token did and why, how sure that is, and the traps."""
    if not answer.visible:
        yield line("No GPU is visible to CUDA.", Level.BAD)
    if answer.standing is Standing.UNVERIFIED:
        yield line("By CUDA's rules, one of which is neither documented nor verified.", Level.WARN)
    else:
        yield line("By CUDA's rules; CUDA itself was not asked.", Level.DIM)
    if answer.tokens:
        yield line("")
        yield line("Token by token", Level.NOTICE)
    wide = max((len(repr(token.text)) for token in answer.tokens), default=0)
    for token in answer.tokens:
        led = f"cuda:{token.ordinal}" if token.ordinal is not None else str(token.outcome)
        yield (
            Cell(f"  {units.printable(repr(token.text)):<{min(wide, 44)}}  "),
            Cell(f"{led:<15}", _LEVELS[token.outcome]),
            Cell(f" {units.printable(token.reason)}"),
            Cell("" if token.standing is Standing.DOCUMENTED else f"  {token.standing}", Level.DIM),
        )
    if answer.notes:
        yield line("")
        yield line("Notes", Level.NOTICE)
    yield from (line(f"  {note}") for note in answer.notes)

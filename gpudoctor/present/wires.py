"""Straight lines between two columns of text, drawn with the dots of Braille characters."""

from __future__ import annotations

from collections.abc import Sequence

_FIRST = 0x2800
# The bit of each dot of a Braille character, by its row and column.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_ACROSS, _DOWN = 2, 4
# Lines leave and reach the middle of a row of text.
_MIDDLE = 1

Mark = tuple[str, int | None]


def wires(pairs: Sequence[tuple[int, int]], width: int, height: int) -> list[list[Mark]]:
    """`height` rows of `width` characters with a line from each pair's left row to its right row.

    With each character comes the number of the pair that runs through it last, None where none does.
    """
    bits = [[0] * width for _ in range(height)]
    owners: list[list[int | None]] = [[None] * width for _ in range(height)]
    last = width * _ACROSS - 1
    for number, (left, right) in enumerate(pairs):
        begin, end = left * _DOWN + _MIDDLE, right * _DOWN + _MIDDLE
        for x, y in _dots(begin, end, last):
            row, column = y // _DOWN, x // _ACROSS
            bits[row][column] |= _BITS[y % _DOWN][x % _ACROSS]
            owners[row][column] = number
    return [
        [(chr(_FIRST + dots) if dots else " ", owner) for dots, owner in zip(*pair, strict=True)]
        for pair in zip(bits, owners, strict=True)
    ]


def _dots(begin: int, end: int, last: int) -> list[tuple[int, int]]:
    """The dots of a line over `last` columns; steep ones get several in a column."""
    steps = max(last, abs(end - begin))
    return [
        (round(step * last / steps), round(begin + step * (end - begin) / steps))
        for step in range(steps + 1)
    ]

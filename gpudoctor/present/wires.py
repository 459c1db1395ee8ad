"""Straight lines between two columns of text, of the dots of Braille characters or of plain ASCII."""

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


def ascii_wires(pairs: Sequence[tuple[int, int]], width: int, height: int) -> list[list[Mark]]:
    """As `wires`, with slashes and dashes; where two lines cross stands an x or a plus."""
    rows: list[list[Mark]] = [[(" ", None)] * width for _ in range(height)]
    for number, (left, right) in enumerate(pairs):
        for x, y, mark in _strokes(left, right, width):
            under = rows[y][x][0]
            if under not in (" ", mark):
                mark = "x" if {under, mark} <= set("/\\x") else "+"
            rows[y][x] = (mark, number)
    return rows


def _strokes(left: int, right: int, width: int) -> list[tuple[int, int, str]]:
    """The characters of one line: where it changes its row it is slanted, or upright where steep."""
    slant = "\\" if right > left else "/"
    strokes = []
    y = left
    for x in range(width):
        # The last character is level, as the line reaches its row there.
        following = round(left + (x + 1) * (right - left) / max(1, width - 1))
        following = right if x >= width - 2 else following
        passed = range(y, following, 1 if right > left else -1)
        strokes += [(x, row, slant if row == y else "|") for row in passed]
        if not passed:
            strokes.append((x, y, "-"))
        y = following
    return strokes


def _dots(begin: int, end: int, last: int) -> list[tuple[int, int]]:
    """The dots of a line over `last` columns; steep ones get several in a column."""
    steps = max(last, abs(end - begin))
    return [
        (round(step * last / steps), round(begin + step * (end - begin) / steps))
        for step in range(steps + 1)
    ]

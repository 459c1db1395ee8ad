"""Where a line is too long, what goes on stands under the beginning of what it goes on with."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

_LEAD = re.compile(r"\s*(?:(?:→|->|>|[a-z]+:) )?")
_GAP = re.compile(r"(?<=\S)\s{2,}(?=\S)")


def hung(text: Text, width: int) -> Iterator[Text]:
    """One line as lines of at most `width` columns; all but the first hang under the start of its words."""
    if width <= 0 or text.cell_len <= width:
        yield text
        return
    indent = _indent(text.plain, width)
    parts = text.divide(_breaks(text.plain, width, indent))
    for number, part in enumerate(parts):
        part.rstrip()
        yield Text(" " * indent).append_text(part) if number else part


def _indent(text: str, width: int) -> int:
    """Where its last column begins, if it has columns in the left half; else where its words begin."""
    # In a narrow place the room is worth more than the looks.
    gaps = [found.end() for found in _GAP.finditer(text[: width // 2])]
    start = gaps[-1] if gaps else _LEAD.match(text).end()  # type: ignore[union-attr]
    indent = cell_len(text[:start])
    return indent if indent <= width // 2 else 0


def _breaks(text: str, width: int, indent: int) -> list[int]:
    """The offsets before which a new line begins."""
    breaks: list[int] = []
    room = width
    for word in re.finditer(r"\s*\S+", text):
        start = word.start()
        if start and cell_len(word.group()) > room:
            begun = word.end() - len(word.group().lstrip())
            room = width - indent
            # Spaces before the first word of a line would move it to the right.
            start = begun
            breaks.append(begun)
        for character in text[start : word.end()]:
            if cell_len(character) > room:
                breaks.append(start)
                room = width - indent
            room -= cell_len(character)
            start += 1
    return breaks

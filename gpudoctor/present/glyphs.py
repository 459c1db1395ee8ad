"""The characters that bars and graphs are made of, in Unicode and in plain ASCII."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

_ASCII = str.maketrans(
    {"–": "-", "—": "-", "…": "~", "°": "", "·": "|", "µ": "u", "│": "|", "─": "-", "→": ">"}
    | {"▲": "^", "▼": "v", "●": "*", "■": "#", "×": "x"}
    | {"├": "|", "└": "`", "▸": "+", "▾": "-", "‹": "<"}
)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """`across` and `up` hold the parts of a character cell from empty to full."""

    across: str
    up: str
    rest: str
    plain: bool

    def text(self, text: str) -> str:
        """`text` in the characters that this terminal has."""
        if not self.plain or text.isascii():
            return text
        return text.translate(_ASCII).encode("ascii", "replace").decode()


UNICODE = Glyphs(" ╸━", " ▁▂▃▄▅▆▇█", "─", False)
ASCII = Glyphs(" #", " _.:|#", ".", True)


def glyphs(ascii_only: bool) -> Glyphs:
    """The set for a terminal."""
    return ASCII if ascii_only else UNICODE


def speaks_unicode(encoding: str | None) -> bool:
    """True where a stream of this encoding can show the Unicode set."""
    try:
        "╸█–".encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def bar(ratio: float, width: int, set_: Glyphs) -> tuple[str, str]:
    """The filled and the empty part of a bar of `width` characters for a `ratio` from 0 to 1."""
    steps = len(set_.across) - 1
    filled = round(min(1.0, max(0.0, ratio)) * width * steps)
    # Something is never shown as nothing.
    if ratio > 0 and filled == 0 and width:
        filled = 1
    whole, part = divmod(filled, steps)
    text = set_.across[-1] * whole + (set_.across[part] if part else "")
    return text, set_.rest * (width - len(text))


def column(ratio: float | None, height: int, set_: Glyphs) -> list[str]:
    """One column of an area graph, top first; an unknown value leaves it empty."""
    if ratio is None:
        return [" "] * height
    steps = len(set_.up) - 1
    filled = max(1, round(min(1.0, max(0.0, ratio)) * height * steps))
    if ratio == 0:
        filled = 1 if not set_.plain else 0
    out = []
    for row in range(height):
        over = filled - (height - 1 - row) * steps
        out.append(set_.up[min(steps, max(0, over))])
    return out


def fitted(text: str, width: int, set_: Glyphs, *, right: bool = False) -> str:
    """`text` cut or filled to `width` columns; a cut is marked."""
    length = cell_len(text)
    if length > width:
        mark = "~" if set_.plain else "…"
        return (
            set_cell_size(text, max(0, width - 1)) + mark
            if width > 1
            else set_cell_size(text, width)
        )
    blanks = " " * (width - length)
    return blanks + text if right else text + blanks

"""Conditions as lines: a mark, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.render.text import safe

_MARKS = {
    Standing.OK: ("ok", "green"),
    Standing.WARN: ("warn", "yellow"),
    Standing.REFUSE: ("no", "red"),
    Standing.UNKNOWN: ("?", "dim"),
}


def condition_lines(conditions: Iterable[Condition]) -> Iterator[Text]:
    """One line for each, and its hint below it unless all is well."""
    for one in conditions:
        word, style = _MARKS[one.standing]
        yield Text(f"  {word:<5}", style=style) + safe(one.text)
        if one.hint and one.standing is not Standing.OK:
            yield Text("       → ", style="dim") + safe(one.hint)

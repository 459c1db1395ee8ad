"""The one way to a console: width, colours and escapes are decided here."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from gpudoctor.present.hanging import hung
from gpudoctor.units import printable

# A pipe has no width: a reader such as grep wants whole rows.
PIPE_WIDTH = 200
_BLANKS_AT_THE_END = re.compile(r"[ \t]+(?=\n)")


class _Trimmed:
    """A stream whose lines end where their text ends: rich fills tables and lines with blanks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(_BLANKS_AT_THE_END.sub("", text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Hanging(Console):
    """Wraps single texts, as opposed to what stands in tables, with their indent."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does."""
        if not (options.get("soft_wrap") or options.get("no_wrap")):
            objects = tuple(
                _hung(one, self.width) if isinstance(one, Text) else one for one in objects
            )
        super().print(*objects, **options)


def _hung(text: Text, width: int) -> Text:
    if text.cell_len <= width or text.no_wrap or text.overflow is not None:
        return text
    return Text("\n").join(
        part for line in text.split("\n", allow_blank=True) for part in hung(line, width)
    )


def console(*, stderr: bool = False) -> Console:
    """A console on stdout (or stderr) that honours NO_COLOR, COLUMNS and a pipe's lack of a width."""
    stream = sys.stderr if stderr else sys.stdout
    width = None
    if not stream.isatty():
        named = os.environ.get("COLUMNS", "")
        width = int(named) if named.isdigit() and int(named) > 0 else PIPE_WIDTH
    elif not shutil.get_terminal_size(fallback=(0, 0)).columns:
        width = 80
    file = stream if stream.isatty() else cast("TextIO", _Trimmed(stream))
    return _Hanging(file=file, width=width, highlight=False, markup=False, emoji=False)


def safe(raw: str, style: str = "") -> Text:
    """Text of foreign origin: control characters escaped, nothing read as markup."""
    return Text(printable(raw), style=style)

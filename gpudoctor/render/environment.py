"""An environment report for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from gpudoctor import units
from gpudoctor.model.environment import EnvironmentReport
from gpudoctor.present.environment import Section, sections, suspicious


def print_text(report: EnvironmentReport, console: Console, *, everything: bool = False) -> None:
    """Print the sections; `everything` adds the long ones."""
    shown = [section for section in sections(report) if everything or not section.long]
    for number, section in enumerate(shown):
        if number:
            console.print()
        console.print(Text(section.title, style="bold"))
        for line in _lines(section, console.width if console.is_terminal else None):
            console.print(line, soft_wrap=True)


def _lines(section: Section, width: int | None) -> Iterator[Text]:
    """The rows, wrapped with a hanging indent where there is a terminal's `width` to keep."""
    indent = max(len(label) for label, _ in section.rows) + 4
    if width is not None:
        indent = min(indent, width // 2)
    for label, value in section.rows:
        style = "yellow" if suspicious(label, value) else ""
        text = " ".join(units.printable(part) for part in value.splitlines())
        parts = textwrap.wrap(text, width - indent, break_on_hyphens=False) if width else [text]
        shown = "  " + units.printable(label)
        if len(shown) > indent - 2:
            # A label too long for its column stands on a line of its own.
            yield Text(shown, style="dim")
            shown = ""
        for number, part in enumerate(parts or [""]):
            yield Text.assemble(
                ((shown if number == 0 else "").ljust(indent), "dim"), (part, style)
            )

"""Writes the manual pages from the commands themselves: one for gpudoctor, one for each command.

python -m tools.manpages
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from gpudoctor import __version__
from gpudoctor.cli.commands import COMMANDS, SUMMARY
from gpudoctor.cli.group import gpudoctor

FOLDER = Path(__file__).parent.parent / "packaging" / "man"
_EXIT_CODES = (
    ("0", "Fine."),
    ("1", "Findings: something was found, or what was wanted could not be had."),
    ("2", "Usage: the command or a file that was named is wrong."),
    ("3", "Could not look: there is no driver, or it does not let us in."),
    ("130", "Interrupted."),
)
_ENVIRONMENT = (
    ("GPUDOCTOR_CONFIG", "The settings file, in place of the default one."),
    ("GPUDOCTOR_SOCKET", "The daemon's own socket, for it and for those who ask it; off: none."),
    ("GPUDOCTOR_PROMETHEUS", "The Prometheus server that gpudoctor fleet asks."),
    ("GPUDOCTOR_PROMETHEUS_TOKEN", "A token that is sent to it."),
    ("GPUDOCTOR_AGENT", "1 in a job: gpudoctor empty-cache can reach it without ptrace."),
    ("GPUDOCTOR_UI_STATE", "Where the screen's look is kept; off: nowhere."),
    ("GPUDOCTOR_OR_DEMO", "1: the screen shows the simulated machine where there is no driver."),
    ("NO_COLOR", "Where it is set, nothing is coloured."),
    ("VIRTUAL_ENV, CONDA_PREFIX", "The environment whose Python is looked at."),
)
_FILES = (
    ("~/.config/gpudoctor/config.toml", "Settings."),
    ("~/.local/state/gpudoctor/", "The daemon's history, and records of parked processes."),
)


def pages() -> dict[str, str]:
    """The text of every page, by its file's name."""
    root = click.Context(gpudoctor, info_name="gpudoctor")
    made = {"gpudoctor.1": _root(root)}
    for entry in COMMANDS:
        command = gpudoctor.get_command(root, entry.name)
        assert command is not None
        made[f"gpudoctor-{entry.name}.1"] = _page(command, entry.name, entry.summary, root)
    return made


def _root(context: click.Context) -> str:
    lines = [
        *_head("gpudoctor", SUMMARY),
        *_synopsis(gpudoctor, context),
        ".SH DESCRIPTION",
        _text(SUMMARY),
        ".PP",
        _text(
            "Without a command: the terminal UI, or one text overview where there is no terminal."
        ),
        *_options(gpudoctor, context),
        ".SH COMMANDS",
    ]
    for entry in COMMANDS:
        lines += [".TP", f"\\fBgpudoctor\\-{_text(entry.name)}\\fR(1)", _text(entry.summary)]
    lines += [*_listing("EXIT STATUS", _EXIT_CODES), *_listing("ENVIRONMENT", _ENVIRONMENT)]
    lines += _listing("FILES", _FILES)
    return "\n".join(lines) + "\n"


def _page(command: click.Command, name: str, summary: str, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    lines = [*_head(f"gpudoctor-{name}", summary), *_synopsis(command, context)]
    lines += [".SH DESCRIPTION", *_prose(command.help or summary), *_options(command, context)]
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS", *_subcommands(command, context)]
    if command.epilog:
        lines += [".SH NOTES", *_prose(command.epilog)]
    codes = [(code, meaning) for code, meaning in _EXIT_CODES if code != "3" or _looks(name)]
    if name == "profile":
        lines += [".SH EXIT STATUS", _text("The script's own, or 2 where it could not be begun.")]
    else:
        lines += _listing("EXIT STATUS", tuple(codes))
    lines += [".SH SEE ALSO", ".BR gpudoctor (1)"]
    return "\n".join(lines) + "\n"


def _looks(name: str) -> bool:
    return name not in {"completion", "dashboards", "metrics", "schema", "service"}


def _head(name: str, summary: str) -> list[str]:
    title = _text(name.upper())
    return [
        '.\\" Made by tools/manpages.py from the commands; do not edit.',
        f'.TH "{title}" "1" "" "gpudoctor {__version__}" "gpudoctor manual"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary.rstrip('.'))}",
    ]


def _synopsis(command: click.Command, context: click.Context) -> list[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    return [".SH SYNOPSIS", f".B {_text(context.command_path)}", _text(pieces)]


def _options(command: click.Command, context: click.Context) -> list[str]:
    options = [item for item in command.get_params(context) if isinstance(item, click.Option)]
    lines: list[str] = [".SH OPTIONS"]
    for names, said in filter(None, (option.get_help_record(context) for option in options)):
        lines += [".TP", f"\\fB{_text(names)}\\fR", _text(" ".join(said.split()))]
    return lines if len(lines) > 1 else []


def _subcommands(group: click.Group, parent: click.Context) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        yield f'.SS "{_text(name)}"'
        yield from _prose(command.help or "")
        yield from _options(command, context)[1:]


def _listing(title: str, rows: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f'.SH "{title}"']
    for name, meaning in rows:
        lines += [".TP", f"\\fB{_text(name)}\\fR", _text(meaning)]
    return lines


def _prose(text: str) -> list[str]:
    """Paragraphs; one that begins with click's \\b keeps its lines."""
    lines: list[str] = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        if number:
            lines.append(".PP")
        rows = paragraph.strip("\n").split("\n")
        if rows[0].strip() == "\b":
            lines += [".nf", *(_text(row) for row in rows[1:]), ".fi"]
        else:
            lines.append(_text(" ".join(row.strip() for row in rows)))
    return lines


def _text(text: str) -> str:
    """`text` as roff prints it: nothing in it is a request, an escape or beyond ASCII."""
    plain = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    )
    plain = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in plain)
    return f"\\&{plain}" if plain.startswith(".") else plain


def main() -> None:
    """Write all pages, and remove those of commands that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.1"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()

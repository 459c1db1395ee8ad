"""The root's help, made from the tables alone: it is printed without importing an option parser."""

from __future__ import annotations

from gpudoctor.cli.commands import COMMANDS, EPILOG, ROOT_OPTIONS, SUMMARY


def root_help() -> str:
    """The text of `gpudoctor --help`, without a last line break."""
    options = [(f"{o.name} {o.metavar}".strip(), o.summary) for o in ROOT_OPTIONS]
    commands = [(command.name, command.summary) for command in COMMANDS]
    return "\n".join(
        [
            "Usage: gpudoctor [OPTIONS] [COMMAND] [ARGS]...",
            "",
            f"  {SUMMARY}",
            "",
            "Options:",
            *_columns(options),
            "",
            "Commands:",
            *_columns(commands),
            "",
            *(f"  {line}" for line in EPILOG.splitlines()),
        ]
    )


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]

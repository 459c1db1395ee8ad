"""The root command: a lazy group, so that --help and --version import no command."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable

import click

from gpudoctor import __version__
from gpudoctor.cli.commands import COMMANDS, ROOT_OPTIONS, Command
from gpudoctor.cli.help import root_help

_TABLE: dict[str, Command] = {command.name: command for command in COMMANDS}


class LazyGroup(click.Group):
    """Imports a command's module when the command is run, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(_TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None where there is none of that name."""
        entry = _TABLE.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with the name that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], _TABLE, n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{close[0]}'?", ctx) from error

    def get_help(self, ctx: click.Context) -> str:
        """The same text as the fast path prints."""
        return root_help()


def _root_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(ROOT_OPTIONS):
        if option.name != "--help":
            kind = {"metavar": option.metavar} if option.metavar else {"is_flag": True}
            function = click.option(option.name, help=option.summary, **kind)(function)
    return function


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@_root_options
@click.pass_context
def gpudoctor(
    ctx: click.Context, /, demo: bool, replay: str | None, config: str | None, **look: bool
) -> None:
    """What is wrong with this GPU machine, in plain words, with the evidence and the fix."""
    if look["version"]:
        click.echo(_version(config, verbose=look["verbose"], as_json=look["json"]))
        ctx.exit()
    for name in ("verbose", "json"):
        if look[name]:
            where = "" if name == "verbose" else " A command's own --json stands behind its name."
            raise click.UsageError(f"--{name} goes with --version.{where}", ctx)
    ctx.obj = {"demo": demo, "replay": replay, "config": config, "ascii": look["ascii"]}
    ctx.obj["no_daemon"] = look["no_daemon"]
    if config is not None:
        # Also a command that needs no settings says when the file that was named is wrong.
        from pathlib import Path

        from gpudoctor.config import load

        load(Path(config))
    if ctx.invoked_subcommand is None:
        from gpudoctor.cli.top import top

        shown = top(
            demo,
            replay,
            config,
            once=look["once"],
            ascii_only=look["ascii"],
            no_daemon=look["no_daemon"],
            read_only=look["read_only"],
        )
        ctx.exit(shown)


def _version(config: str | None, *, verbose: bool, as_json: bool) -> str:
    if not verbose and not as_json:
        return f"gpudoctor {__version__}"
    from gpudoctor.cli.version import version_text

    return version_text(as_json=as_json, config=config)

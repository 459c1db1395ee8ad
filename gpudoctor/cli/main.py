"""Runs a command and turns what goes wrong into one block on stderr and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys

# Imports stand where they are needed: `--version` and `--help` are answered before any of them, and
# `typing`, `enum` and `signal` alone cost a third of what Python itself does to start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from click import ClickException, Context

# A disk, a quota or a limit of file sizes that is used up.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TYPES = {
    "integer": "a whole number",
    "integer range": "a whole number",
    "float": "a number",
    "float range": "a number",
}


def run(arguments: Sequence[str]) -> int:
    """The exit code of `gpudoctor ARGUMENTS`. Never raises, never prints a traceback for bad input."""
    if sys.stdout is None:  # closed by whoever started us: then nobody reads it
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.encoding.lower().startswith(
        "utf"
    ):
        # A locale of another age has no "–"; a question mark is better than a traceback.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _run(arguments)
        # Here, where a full disk can still be told of.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _closed_pipe()
    except KeyboardInterrupt:  # while the command was still being imported
        return _fail("interrupted", 130)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return _full(error)


def _run(arguments: Sequence[str]) -> int:
    answer = _at_once(list(arguments))
    if answer is not None:
        sys.stdout.write(answer + "\n")
        return 0
    import click

    from gpudoctor.cli.group import gpudoctor
    from gpudoctor.errors import ExitCode, GpuDoctorError

    try:
        code = gpudoctor.main(args=list(arguments), prog_name="gpudoctor", standalone_mode=False)
    except GpuDoctorError as error:
        return _fail(error.block(), error.exit_code)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        return _fail(
            f"{error.message}\n\nerror: {_command(error.ctx)} needs to know what", ExitCode.USAGE
        )
    except click.UsageError as error:
        return _fail(_usage_block(error), ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", ExitCode.INTERRUPTED)
    return code if isinstance(code, int) else ExitCode.OK


def _at_once(arguments: list[str]) -> str | None:
    """The answer to what needs no option parser, whose import costs more than all the rest."""
    if arguments == ["--version"]:
        from gpudoctor import __version__

        return f"gpudoctor {__version__}"
    if arguments in (["--help"], ["-h"]):
        from gpudoctor.cli.help import root_help

        return root_help()
    if "--version" in arguments and set(arguments) <= {"--version", "--verbose", "--json"}:
        from gpudoctor.cli.version import version_text

        return version_text(as_json="--json" in arguments)
    return None


def _fail(block: str, code: int) -> int:
    from gpudoctor.units import printable

    sys.stdout.flush()
    # What a file or a server said may stand in it, word for word.
    sys.stderr.write("".join(f"{printable(line)}\n" for line in block.split("\n")))
    return int(code)


def _usage_block(error: object) -> str:
    import click

    from gpudoctor.errors import GpuDoctorError

    assert isinstance(error, click.ClickException)
    path = _command(getattr(error, "ctx", None))
    hint = _hint(error, path)
    if hint.startswith("--") and isinstance(error, click.NoSuchOption):
        # It is the root's own name, and not a misspelt one of the command's.
        error = click.NoSuchOption(error.option_name, ctx=error.ctx)
    # click sets a tab before each of the choices.
    message = error.format_message().replace("\n\t", " ")
    # The names of click's types, in words.
    for type_name, words in _TYPES.items():
        message = message.replace(f"is not a valid {type_name}.", f"is not {words}.")
    return GpuDoctorError(message, hint=hint).block()


def _command(context: Context | None) -> str:
    return context.command_path if context else "gpudoctor"


def _hint(error: ClickException, path: str) -> str:
    """How to go on; an option of gpudoctor itself stands before the command's name."""
    from gpudoctor.cli.commands import ROOT_OPTIONS

    given = getattr(error, "option_name", None)
    known = next((one for one in ROOT_OPTIONS if one.name == given), None)
    program, _, command = path.partition(" ")
    if known is None or not command:
        return f"Try: {path} --help"
    value = f" {known.metavar}" if known.metavar else ""
    return f"{given} stands before the command: {program} {given}{value} {command}"


def _closed_pipe() -> int:
    # The reader (head, less) has left: what it wanted it has.
    import signal

    _write_no_more()
    return 128 + signal.SIGPIPE


def _full(error: OSError) -> int:
    from gpudoctor.errors import ExitCode, GpuDoctorError

    _write_no_more()
    where = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    failure = GpuDoctorError(
        "the output could not be written",
        cause=where,
        hint="Make room there, or write somewhere else. What was written until now is not whole.",
        exit_code=ExitCode.UNAVAILABLE,
    )
    return _fail(failure.block(), failure.exit_code)


def _write_no_more() -> None:
    from contextlib import suppress

    # What still waits to be written at exit would raise again.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""Runs a command and turns what goes wrong into one block on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from gpudoctor.errors import ExitCode, GpuDoctorError


def run(arguments: Sequence[str]) -> int:
    """The exit code of `gpudoctor ARGUMENTS`. Never raises, never prints a traceback for bad input."""
    if list(arguments) == ["--version"]:
        # The answer needs no option parser, and start-up is what one measures with --version.
        from gpudoctor import __version__

        sys.stdout.write(f"gpudoctor {__version__}\n")
        return ExitCode.OK
    import click

    from gpudoctor.cli.group import gpudoctor

    try:
        code = gpudoctor.main(args=list(arguments), prog_name="gpudoctor", standalone_mode=False)
    except GpuDoctorError as error:
        return _fail(error.block(), error.exit_code)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _fail(_usage_block(error), ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        return _closed_pipe()
    return code if isinstance(code, int) else ExitCode.OK


def _fail(block: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(block + "\n")
    return int(code)


def _usage_block(error: object) -> str:
    import click

    assert isinstance(error, click.ClickException)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gpudoctor"
    return GpuDoctorError(error.format_message(), hint=f"Try: {path} --help").block()


def _closed_pipe() -> int:
    # The reader (head, less) has left: what it wanted it has; writing more at exit would raise again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE

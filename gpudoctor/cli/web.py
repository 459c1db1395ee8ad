"""`gpudoctor web`: the terminal UI in a browser."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from gpudoctor.errors import ExitCode, GpuDoctorError


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:9837",
    show_default=True,
    metavar="ADDRESS",
    help="host:port to listen at; port 0 takes a free one.",
)
@click.pass_obj
def web(obj: dict[str, Any], listen: str) -> None:
    """Show the terminal UI in a browser, read-only, at the address that is printed.

    Nothing can be ended, run or saved from there. Who knows the printed address sees what you see.
    """
    try:
        from gpudoctor.cli.web_server import GuardedServer
    except ImportError as error:
        raise GpuDoctorError(
            "a browser cannot be served: textual-serve is not installed",
            cause=str(error),
            hint=f"Install it beside gpudoctor: {sys.executable} -m pip install textual-serve\n"
            "or, where pipx installed gpudoctor: pipx inject gpudoctor textual-serve",
            exit_code=ExitCode.UNAVAILABLE,
        ) from error
    from gpudoctor.daemon.listen import bind, bound, parse

    address = parse(listen)
    if address.path is not None:
        raise click.BadParameter("a browser needs host:port", param_hint="--listen")
    listening = bind(address)
    address = bound(address, listening)
    server = GuardedServer(shlex.join(_command(obj)), address.host, address.port)
    click.echo(f"{address.url.rstrip('/')}/?token={server.token}")
    click.echo("Read-only, for whoever knows this address. Ctrl-C ends it.", err=True)
    if not (address.host.startswith("127.") or address.host in ("localhost", "::1")):
        click.echo("It listens beyond this machine, unencrypted: `ssh -L` is safer.", err=True)
    server.serve_on(listening)


def _command(obj: dict[str, Any]) -> list[str]:
    # Without the current folder, which may be anybody's and hold a json.py.
    words = [sys.executable, "-P", "-m", "gpudoctor", "--read-only"]
    flags = {"--demo": "demo", "--ascii": "ascii", "--no-daemon": "no_daemon"}
    words += [flag for flag, name in flags.items() if obj.get(name)]
    for name in ("replay", "config"):
        if obj.get(name):
            words += [f"--{name}", obj[name]]
    return words

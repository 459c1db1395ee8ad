"""`gpudoctor serve`."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.config import load
from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.daemon.ledger import Ledger


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS",
    multiple=True,
    help="HOST:PORT or unix:/PATH; may be repeated.  [127.0.0.1:9836]",
)
@click.option("--interval", type=click.FloatRange(0.1, 3600), help="Seconds between samples.  [5]")
@click.option(
    "--processes",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    help="Give series of their own to so many processes, largest first.",
)
@click.option(
    "--textfile",
    metavar="PATH",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the metrics to PATH for node_exporter; then listen only where --listen says.",
)
@click.option("--wait-for-driver", is_flag=True, help="Without a driver, wait for it.")
@click.pass_context
def serve(
    ctx: click.Context,
    listen: tuple[str, ...],
    interval: float | None,
    processes: int,
    textfile: Path | None,
    wait_for_driver: bool,
) -> None:
    """Sample this machine and answer over HTTP, until Ctrl-C or SIGTERM.

    /metrics is for Prometheus, /api/v1/snapshot is JSON, /healthz and /readyz are for supervisors.
    Without --processes, processes are told of by user and GPU only, since a pid is a label that
    never comes back. Nothing that is asked for over HTTP changes anything on the machine.
    """
    config = ctx.obj["config"]
    settings = load(Path(config) if config else None).serve
    if not listen and textfile is None:
        listen = (settings.listen,)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    from gpudoctor.daemon.ledger import Ledger

    every = interval or settings.interval_seconds
    ledger = Ledger(interval_s=every, process_rows=processes)
    # Sockets and files are let go of first: the driver may hang while it is closed.
    with ExitStack() as machines, ExitStack() as stack:
        sockets = _listen(listen, stack)
        if textfile is not None:
            _write_to(textfile, ledger, stack)
        _serve(ctx, ledger, sockets, machines, wait=wait_for_driver)


def _listen(texts: tuple[str, ...], stack: ExitStack) -> dict[str, socket.socket]:
    from gpudoctor.daemon.listen import bind, bound, parse, release

    sockets: dict[str, socket.socket] = {}
    for address in [parse(text) for text in texts]:
        listening = bind(address)
        stack.callback(release, address, listening)
        sockets[bound(address, listening).url] = listening
    return sockets


def _write_to(path: Path, ledger: Ledger, stack: ExitStack) -> None:
    from gpudoctor.daemon.textfile import Textfile

    textfile = Textfile(path, ledger)
    try:
        textfile.write()
    except OSError as error:
        raise GpuDoctorError(
            f"{path} cannot be written",
            cause=error.strerror,
            hint="Name a file in the folder of node_exporter's --collector.textfile.directory.",
        ) from error
    textfile.start()
    click.echo(f"Writing {path}", err=True)
    stack.callback(textfile.stop)


def _serve(
    ctx: click.Context,
    ledger: Ledger,
    sockets: dict[str, socket.socket],
    machines: ExitStack,
    *,
    wait: bool,
) -> None:
    from gpudoctor.daemon.service import Service
    from gpudoctor.sampling.sampler import Sampler

    def open_sampler() -> Sampler:
        machine = machines.enter_context(open_machine(ctx.obj["demo"], ctx.obj["replay"]))
        if machine.notice:
            click.echo(machine.notice, err=True)
        every = ledger.interval_s
        return Sampler(machine.nvml, machine.host, interval_s=every, reopen=machine.reopen)

    def started() -> None:
        if sockets:
            click.echo(f"Serving on {', '.join(sockets)}", err=True)

    service = Service(ledger, open_sampler)
    if not wait:
        service.attach(open_sampler())
    service.run(tuple(sockets.values()), started)

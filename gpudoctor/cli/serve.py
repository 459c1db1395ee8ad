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
    from gpudoctor.sampling.sampler import Sampler, Subscriber


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
@click.option(
    "--inspect",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    help="Run the checks and look for orphans so often; 0: never.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Record to FILE.  [history.sqlite3 in your state folder]",
)
@click.option("--no-history", is_flag=True, help="Record nothing.")
@click.option("--wait-for-driver", is_flag=True, help="Without a driver, wait for it.")
@click.pass_context
def serve(
    ctx: click.Context,
    listen: tuple[str, ...],
    interval: float | None,
    processes: int,
    textfile: Path | None,
    inspect: float,
    history: Path | None,
    no_history: bool,
    wait_for_driver: bool,
) -> None:
    """Sample this machine and answer over HTTP, until Ctrl-C or SIGTERM.

    /metrics is for Prometheus, /api/v1/snapshot is JSON, /healthz and /readyz are for supervisors.
    Without --processes, processes are told of by user and GPU only, since a pid is a label that
    never comes back. Nothing that is asked for over HTTP changes anything on the machine.

    What is sampled is recorded too, for `gpudoctor history`; a simulated or replayed machine only
    where --history names a file.
    """
    config = ctx.obj["config"]
    settings = load(Path(config) if config else None).serve
    if not listen and textfile is None:
        listen = (settings.listen,)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    from gpudoctor.daemon.ledger import Ledger
    from gpudoctor.daemon.service import Service

    ledger = Ledger(
        interval_s=interval or settings.interval_seconds,
        process_rows=processes,
    )
    made_up = bool(ctx.obj["demo"] or ctx.obj["replay"])
    recorded = not no_history and (history is not None or not made_up)
    # Sockets and files are let go of first: the driver may hang while it is closed.
    with ExitStack() as machines, ExitStack() as stack:
        sockets = _listen(listen, stack)
        if textfile is not None:
            _write_to(textfile, ledger, stack)
        sampler = None if wait_for_driver else _sampler(ctx, ledger, machines)
        readers = _inspected(inspect, ledger, stack)
        if recorded:
            readers += _recorded(history, ledger, stack)
        service = Service(ledger, lambda: _sampler(ctx, ledger, machines), readers)
        if sampler is not None:
            service.attach(sampler)
        service.run(tuple(sockets.values()), lambda: _say_where(sockets))


def _sampler(ctx: click.Context, ledger: Ledger, machines: ExitStack) -> Sampler:
    from gpudoctor.sampling.sampler import Sampler

    machine = machines.enter_context(open_machine(ctx.obj["demo"], ctx.obj["replay"]))
    if machine.notice:
        click.echo(machine.notice, err=True)
    every = ledger.interval_s
    return Sampler(machine.nvml, machine.host, interval_s=every, reopen=machine.reopen)


def _inspected(interval_s: float, ledger: Ledger, stack: ExitStack) -> list[Subscriber]:
    """What runs the checks, if it shall."""
    if not interval_s:
        return []
    from gpudoctor.daemon.inspector import Inspector

    inspector = Inspector(ledger, interval_s=interval_s)
    inspector.start()
    stack.callback(inspector.stop)
    return [inspector.add]


def _recorded(path: Path | None, ledger: Ledger, stack: ExitStack) -> list[Subscriber]:
    """What writes the history. Only one that was asked for by name must work."""
    from gpudoctor.history.database import default_path
    from gpudoctor.history.recorder import Recorder

    recorder = Recorder(path or default_path())
    try:
        recorder.start()
    except GpuDoctorError as error:
        if path is not None:
            raise
        logging.getLogger(__name__).warning("no history: %s: %s", error.message, error.cause)
        return []
    stack.callback(recorder.stop)
    ledger.unrecorded = recorder.errors_so_far
    return [recorder.add]


def _say_where(sockets: dict[str, socket.socket]) -> None:
    if sockets:
        click.echo(f"Serving on {', '.join(sockets)}", err=True)


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

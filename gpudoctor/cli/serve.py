"""`gpudoctor serve`."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.config import ServeSettings, load


@click.command()
@click.option("--listen", metavar="ADDRESS", help="HOST:PORT or unix:/PATH.  [127.0.0.1:9836]")
@click.option("--interval", type=click.FloatRange(0.1, 3600), help="Seconds between samples.  [5]")
@click.option(
    "--processes",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    help="Give series of their own to so many processes, largest first.",
)
@click.option("--wait-for-driver", is_flag=True, help="Without a driver, wait for it.")
@click.pass_context
def serve(
    ctx: click.Context,
    listen: str | None,
    interval: float | None,
    processes: int,
    wait_for_driver: bool,
) -> None:
    """Sample this machine and answer over HTTP, until Ctrl-C or SIGTERM.

    /metrics is for Prometheus, /api/v1/snapshot is JSON, /healthz and /readyz are for supervisors.
    Without --processes, processes are told of by user and GPU only, since a pid is a label that
    never comes back. Nothing that is asked for over HTTP changes anything on the machine.
    """
    config = ctx.obj["config"]
    settings = load(Path(config) if config else None).serve
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    _serve(
        ctx,
        ServeSettings(listen or settings.listen, interval or settings.interval_seconds),
        processes,
        wait=wait_for_driver,
    )


def _serve(ctx: click.Context, settings: ServeSettings, processes: int, *, wait: bool) -> None:
    from gpudoctor.daemon.ledger import Ledger
    from gpudoctor.daemon.listen import bind, bound, parse, release
    from gpudoctor.daemon.service import Service
    from gpudoctor.sampling.sampler import Sampler

    with ExitStack() as stack:

        def open_sampler() -> Sampler:
            machine = stack.enter_context(open_machine(ctx.obj["demo"], ctx.obj["replay"]))
            if machine.notice:
                click.echo(machine.notice, err=True)
            every = settings.interval_seconds
            return Sampler(machine.nvml, machine.host, interval_s=every, reopen=machine.reopen)

        ledger = Ledger(interval_s=settings.interval_seconds, process_rows=processes)
        service = Service(ledger, open_sampler)
        address = parse(settings.listen)
        listening = bind(address)
        address = bound(address, listening)
        try:
            if not wait:
                service.attach(open_sampler())
            service.run(listening, lambda: click.echo(f"Serving on {address.url}", err=True))
        finally:
            release(address, listening)

"""`gpudoctor record FILE`."""

from __future__ import annotations

import queue
import sys
import time
from pathlib import Path

import click

from gpudoctor.cli.options import size
from gpudoctor.cli.sources import open_machine
from gpudoctor.history.recording import RecordingWriter
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.sampling.sampler import Sampler
from gpudoctor.units import data_size


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    help="Seconds between snapshots.",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
)
@click.option(
    "--duration", type=click.FloatRange(0.1), metavar="SECONDS", help="Stop after so many seconds."
)
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=size,
    default="1GiB",
    show_default=True,
    help="Stop before FILE is larger (500MB, 2GiB); 0: never.",
)
@click.pass_context
def record(
    ctx: click.Context, file: Path, interval: float, duration: float | None, max_size: int
) -> None:
    """Record what the driver and the host say to FILE, until Ctrl-C.

    `gpudoctor --replay FILE` plays it. A name ending in .gz is compressed. The file holds the names
    of users and the command lines of the processes on the GPUs: look at it before you share it.
    """
    with open_machine(ctx.obj["demo"], ctx.obj["replay"]) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        writer = RecordingWriter(file, interval_s=interval, started_at=time.time())
        sampler = Sampler(machine.nvml, machine.host, interval_s=interval, reopen=machine.reopen)
        try:
            full = _record(sampler, writer, duration, max_size)
        finally:
            sampler.stop()
            writer.close()
            line = "\n" if sys.stderr.isatty() else ""
            click.echo(f"{line}{_snapshots(writer.snapshots)} in {file}", err=True)
        if full:
            click.echo(f"It has reached --max-size, {data_size(max_size)}: it ends here.", err=True)


def _record(
    sampler: Sampler, writer: RecordingWriter, duration: float | None, max_size: int
) -> bool:
    """Record until that is enough; True where the file is as large as it may be."""
    arrived: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
    sampler.subscribe(arrived.put)
    sampler.start()
    at_most = f", at most {data_size(max_size)}" if max_size else ""
    click.echo(f"Recording{at_most}. Ctrl-C ends it.", err=True)
    until = None if duration is None else time.monotonic() + duration
    try:
        while until is None or time.monotonic() < until:
            left = 1.0 if until is None else max(0.0, min(1.0, until - time.monotonic()))
            try:
                writer.add(arrived.get(timeout=left))
            except queue.Empty:
                continue
            if sys.stderr.isatty():
                click.echo(f"\r{_snapshots(writer.snapshots)}", err=True, nl=False)
            # The next snapshot will be about as large as the last one.
            if max_size and writer.bytes + writer.last_bytes > max_size:
                return True
    except KeyboardInterrupt:
        # Ctrl-C is how one ends a recording without --duration, so it is a success.
        pass
    return False


def _snapshots(number: int) -> str:
    return "1 snapshot" if number == 1 else f"{number} snapshots"

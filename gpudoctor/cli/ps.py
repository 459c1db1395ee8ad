"""`gpudoctor ps`: whose memory is it?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Device, Snapshot

# What a process table needs; the other collectors cost time and are not shown.
COLLECTORS = ("memory", "utilization", "mig", "processes")
SORT_KEYS = ("gpu", "memory", "sm", "cpu", "host-memory", "age", "pid", "user")
LOOK_S = 5.0


@click.command()
@click.option("--user", "users", multiple=True, metavar="NAME", help="Only this user's processes.")
@click.option("--gpu", "gpus", multiple=True, type=int, metavar="INDEX", help="Only on this GPU.")
@click.option("--name", metavar="TEXT", help="Only processes whose command contains TEXT.")
@click.option(
    "--sort", type=click.Choice(SORT_KEYS), default="gpu", show_default=True, help="Order of rows."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.ps/1).")
@click.option(
    "--watch",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Print anew every so many seconds, until Ctrl-C.",
)
@click.pass_context
def ps(ctx: click.Context, /, as_json: bool, watch: float | None, **wanted: Any) -> None:
    """Show the processes on the GPUs: who holds which memory, and what is running."""
    from gpudoctor.model.selection import select

    with open_machine(ctx.obj["demo"], ctx.obj["replay"]) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        for snapshot in _looks(machine, watch):
            rows = select(snapshot.processes, **wanted)
            _show(snapshot, rows, as_json=as_json, again=watch is not None)


def _looks(machine: Machine, watch: float | None) -> Iterator[Snapshot]:
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    chosen = tuple(item for item in registered() if item.name in COLLECTORS)
    sampler = Sampler(machine.nvml, machine.host, collectors=chosen, reopen=machine.reopen)
    try:
        while True:
            yield sampler.once(LOOK_S)
            if watch is None:
                return
            time.sleep(watch)
    finally:
        sampler.stop()


def _show(snapshot: Snapshot, rows: Sequence[GpuProcess], *, as_json: bool, again: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        body = {
            "driver": to_builtins(snapshot.driver),
            "devices": [_device(device) for device in snapshot.devices],
            "processes": [to_builtins(row) for row in rows],
        }
        click.echo(envelope("gpudoctor.ps/1", body, at=snapshot.taken_at))
        return
    from gpudoctor.render.processes import table
    from gpudoctor.render.text import console

    screen = console()
    if again and screen.is_terminal:
        screen.clear()
    screen.print(*table(snapshot, rows, width=screen.width), sep="\n")


def _device(device: Device) -> dict[str, Any]:
    return {
        "index": device.index,
        "uuid": device.uuid,
        "name": device.facts.name,
        "state": str(device.state),
        "memory_used_bytes": device.memory.used_bytes,
        "memory_total_bytes": device.memory.total_bytes,
        "gpu_ratio": device.utilization.gpu_ratio,
    }

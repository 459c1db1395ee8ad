"""`gpudoctor pick`: a value for CUDA_VISIBLE_DEVICES, or a command run with it."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click

from gpudoctor.cli.options import ratio, size
from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.host.visible_devices import VARIABLE, resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.pick import Candidate, Pick, Wanted
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.sampling.free import choose

SCHEMA = "gpudoctor.pick/1"
_COLLECTORS = ("memory", "utilization", "processes", "mig", "health")
_FEWEST_LOOKS = 3
_LONGEST_S = 10.0


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-n",
    "count",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many GPUs.",
)
@click.option("--min-free", metavar="SIZE", callback=size, help="Free memory, such as 20GiB.")
@click.option("--max-util", metavar="PERCENT", callback=ratio, help="Busy at most so much.")
@click.option("--idle", is_flag=True, help="Only GPUs on which nobody computes.")
@click.option("--index", "by_index", is_flag=True, help="Indices in PCI order, not UUIDs.")
@click.option("--any", "anywhere", is_flag=True, help="Also GPUs hidden by CUDA_VISIBLE_DEVICES.")
@click.option(
    "--over",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.2, 600),
    metavar="SECONDS",
    help="Seconds over which the GPUs are looked at.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object (gpudoctor.pick/1).")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def pick(
    ctx: click.Context,
    count: int,
    min_free: int | None,
    max_util: float | None,
    idle: bool,
    by_index: bool,
    anywhere: bool,
    over: float,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Print free GPUs as a value for CUDA_VISIBLE_DEVICES, or run COMMAND with it set.

    \b
    export CUDA_VISIBLE_DEVICES=$(gpudoctor pick -n 2 --min-free 20GiB)
    gpudoctor pick -n 1 --idle -- python main.py

    The GPUs are looked at several times; each must be free in every look. Exit code 1: not enough.
    """
    if command and as_json:
        raise GpuDoctorError(
            "--json and a command exclude each other", hint="Leave out one of them."
        )
    wanted = Wanted(count, min_free, max_util, idle)
    with open_machine(ctx.obj["demo"], ctx.obj["replay"]) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        real = machine.nvml.source == "nvml"
        if command and not real:
            raise GpuDoctorError("a command cannot be run on a machine that is not this one")
        looks = _looks(machine, over)
        allowed = _allowed(looks[-1], os.environ) if real and not anywhere else None
    answer = choose(looks, wanted, by_index=by_index, allowed=allowed)
    if as_json:
        _print_json(answer)
    if answer.value is None:
        if as_json:
            ctx.exit(ExitCode.FINDINGS)
        raise _not_enough(answer, wanted)
    if command:
        _run(command, answer.value, by_index)
    if not as_json:
        click.echo(answer.value)


def _looks(machine: Machine, over_s: float) -> list[Snapshot]:
    """Snapshots over `over_s` seconds, at least three."""
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    chosen = tuple(item for item in registered() if item.name in _COLLECTORS)
    interval = max(0.1, over_s / (_FEWEST_LOOKS + 2))
    sampler = Sampler(machine.nvml, machine.host, interval_s=interval, collectors=chosen)
    arrived: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
    sampler.subscribe(arrived.put)
    begun = time.monotonic()
    looks: list[Snapshot] = []
    sampler.start()
    try:
        while len(looks) < _FEWEST_LOOKS or time.monotonic() - begun < over_s:
            looks.append(arrived.get(timeout=over_s + _LONGEST_S))
    except queue.Empty as error:
        raise GpuDoctorError(
            "the GPUs do not answer", cause="no look at them ended", exit_code=ExitCode.UNAVAILABLE
        ) from error
    finally:
        sampler.stop()
    return looks


def _allowed(look: Snapshot, environ: Mapping[str, str]) -> frozenset[str] | None:
    """The GPUs that a scheduler or the user has left us already."""
    if VARIABLE not in environ:
        return None
    rows = [GpuRow(device.facts, device.mig) for device in look.devices]
    seen = resolve(environ, rows).visible
    return frozenset(row.parent_uuid or row.uuid for row in seen)


def _print_json(answer: Pick) -> None:
    from gpudoctor.model.codec import envelope, to_builtins

    click.echo(envelope(SCHEMA, to_builtins(answer)))


def _not_enough(answer: Pick, wanted: Wanted) -> GpuDoctorError:
    free = sum(not row.reasons for row in answer.others)
    lines = [_line(row) for row in answer.others if row.reasons]
    return GpuDoctorError(
        f"{wanted.count} free GPU{'s' if wanted.count > 1 else ''} wanted, {free} found",
        cause="\n".join(lines) or f"the machine has {len(answer.others)}",
        hint="See who holds them: gpudoctor ps. What is left over: gpudoctor orphans.",
        exit_code=ExitCode.FINDINGS,
    )


def _line(row: Candidate) -> str:
    return f"GPU {row.index}: {'; '.join(row.reasons)}"


def _run(command: Sequence[str], value: str, by_index: bool) -> NoReturn:
    """Become the command, so that signals and the exit code are its own."""
    environ = {**os.environ, VARIABLE: value}
    if by_index:
        # Indices mean nothing certain in any other order.
        environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    click.echo(f"{VARIABLE}={value}", err=True)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], list(command), environ)  # noqa: S606 - the user's own command
    except OSError as error:
        raise GpuDoctorError(
            f"{command[0]} cannot be run", cause=error.strerror, hint="Check the command after --."
        ) from error

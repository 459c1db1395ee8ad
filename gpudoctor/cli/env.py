"""`gpudoctor env`."""

from __future__ import annotations

import contextlib

import click

from gpudoctor.cli.sources import open_machine
from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.environment import gather
from gpudoctor.host.interpreter import Target, find
from gpudoctor.host.probe import DEFAULT_TIMEOUT_S
from gpudoctor.model.environment import EnvironmentReport
from gpudoctor.nvml.api import NvmlUnavailableError

SCHEMA = "gpudoctor.env/1"


@click.command()
@click.option("--python", metavar="PY", help="The interpreter to ask, or its virtual environment.")
@click.option(
    "--pid", type=click.IntRange(1), metavar="PID", help="Ask the interpreter of this process."
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Paste-ready, without your name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option(
    "--all", "everything", is_flag=True, help="Also the CPU's details and torch's config."
)
@click.option(
    "--timeout",
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    metavar="SECONDS",
    help="Seconds that the interpreter may take.",
)
@click.pass_context
def env(
    ctx: click.Context,
    python: str | None,
    pid: int | None,
    as_markdown: bool,
    as_json: bool,
    everything: bool,
    timeout: float,
) -> None:
    """Report torch, CUDA, cuDNN, driver and devices, as facts.

    Without --python or --pid: the active virtual or conda environment, else `python3` on PATH.
    """
    if as_markdown and as_json:
        raise GpuDoctorError("--markdown and --json exclude each other", hint="Give one of them.")
    if pid is not None and ctx.obj["demo"]:
        _check_real(pid)
    target = find(python, pid)
    report = _report(ctx, target, timeout)
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope(SCHEMA, to_builtins(report)))
    elif as_markdown:
        from gpudoctor.present.mask import Identity
        from gpudoctor.present.paste import environment

        click.echo(environment(report, Identity.here()))
    else:
        from gpudoctor.render.environment import print_text
        from gpudoctor.render.text import console

        print_text(report, console(), everything=everything)


def _check_real(pid: int) -> None:
    from gpudoctor.nvml.demo import ENVIRONMENTS

    if pid in ENVIRONMENTS:
        raise GpuDoctorError(
            f"process {pid} is made up (--demo)",
            cause="it has no interpreter that could be asked",
            hint=f"What it sees of the GPUs: gpudoctor --demo visible --pid {pid}",
        )


def _report(ctx: click.Context, target: Target, timeout_s: float) -> EnvironmentReport:
    with contextlib.ExitStack() as stack:
        try:
            machine = stack.enter_context(open_machine(ctx.obj["demo"], ctx.obj["replay"]))
        except NvmlUnavailableError as error:
            # A machine without a driver is a fact of the report.
            return gather(target, error, timeout_s=timeout_s)
        if machine.notice:
            click.echo(machine.notice, err=True)
        return gather(target, machine.nvml, timeout_s=timeout_s)

"""`gpudoctor reset GPU`: what resetting it would interrupt; resets it only when told twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpudoctor.cli.acting import driver, only_live
from gpudoctor.errors import ExitCode, GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.model.reset import ResetReport
    from gpudoctor.model.snapshot import Snapshot
    from gpudoctor.reclaim.reset_conditions import Scene

_COLLECTORS = ("memory", "mig", "health", "nvlink", "processes")


@click.command()
@click.argument("gpu")
@click.option("--run", is_flag=True, help="Reset it, after its index or UUID was typed once more.")
@click.option(
    "--timeout",
    default=120.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    metavar="SECONDS",
    help="How long nvidia-smi is waited for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.reset/1).")
@click.pass_context
def reset(ctx: click.Context, gpu: str, run: bool, timeout: float, as_json: bool) -> None:
    """Check whether GPU (index, UUID or PCI bus id) can be reset, and what that would interrupt.

    Prints the exact nvidia-smi commands, and runs nothing. With --run they are run, if nothing
    stands in the way and the GPU's index or UUID is typed on stdin. Exit code 1 when something
    stands in the way, or the GPU is not well afterwards.
    """
    only_live(ctx, "GPUs")
    from gpudoctor.model.reset import ResetOutcome
    from gpudoctor.reclaim.reset import checked, name_of
    from gpudoctor.reclaim.reset import reset as reset_now

    scene = _scene(gpu)
    report = checked(scene)
    if run and report.outcome is ResetOutcome.CHECKED:
        _tell(report)
        _typed(scene)
        # Minutes may have passed at the question: somebody else may have come.
        scene = _scene(name_of(scene.targets[0]))
        report = reset_now(scene, _see, limit_s=timeout)
    _show(report, as_json)
    if report.outcome not in (ResetOutcome.CHECKED, ResetOutcome.RESET):
        ctx.exit(ExitCode.FINDINGS)


def _scene(gpu: str) -> Scene:
    """What is there now. The driver is closed again, because our own handle would be in the way."""
    from gpudoctor.reclaim.reset_look import find, look

    with driver(_COLLECTORS) as see:
        snapshot = see()
        return look(find(gpu, snapshot), snapshot)


def _see() -> Snapshot:
    with driver(_COLLECTORS) as see:
        return see()


def _typed(scene: Scene) -> None:
    target = scene.targets[0]
    typed = click.prompt(
        f"Type the index or the UUID of the GPU to reset it ({target.facts.name})", err=True
    ).strip()
    if typed not in (str(target.index), target.uuid):
        raise GpuDoctorError(
            "nothing was reset", cause=f"{typed!r} is neither {target.index} nor {target.uuid}"
        )


def _tell(report: ResetReport) -> None:
    from gpudoctor.render.reset import plan_lines
    from gpudoctor.render.text import console

    console(stderr=True).print(*plan_lines(report), sep="\n")


def _show(report: ResetReport, as_json: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.reset/1", to_builtins(report)))
        return
    from gpudoctor.render.reset import report_lines
    from gpudoctor.render.text import console

    console().print(*report_lines(report), sep="\n")

"""`gpudoctor visible`: which physical GPU is cuda:0?"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import click

from gpudoctor.cli.sources import Machine, open_machine
from gpudoctor.errors import GpuDoctorError
from gpudoctor.host import probe
from gpudoctor.host.device_order import given_to_container
from gpudoctor.host.driver import driver_report, uses_of
from gpudoctor.host.interpreter import (
    Target,
    environ_of,
    find,
    in_other_container,
    stranger,
    unreadable,
)
from gpudoctor.host.visibility import confirmed, reconciled, with_notes
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.visible import Visibility

SCHEMA = "gpudoctor.visible/1"
# Those that a child needs to enumerate as the process under test does; the rest stays ours.
_PASSED = ("CUDA_", "NVIDIA_", "SLURM_", "HIP_", "ROCR_")
# Of another user's process only these: others name libraries to load (CUDA_INJECTION64_PATH) or
# servers to talk to (CUDA_MPS_PIPE_DIRECTORY).
_OF_OTHERS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES")


@click.command()
@click.option(
    "--env", "changes", multiple=True, metavar="K=V", help="Set a variable; K alone unsets it."
)
@click.option(
    "--pid", type=click.IntRange(1), metavar="PID", help="The environment of this running process."
)
@click.option("--python", metavar="PY", help="Ask the torch of this interpreter, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object (gpudoctor.visible/1).")
@click.option(
    "--timeout",
    default=probe.DEFAULT_TIMEOUT_S,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    metavar="SECONDS",
    help="Seconds that the child which asks CUDA may take.",
)
@click.pass_context
def visible(
    ctx: click.Context,
    changes: tuple[str, ...],
    pid: int | None,
    python: str | None,
    as_json: bool,
    timeout: float,
) -> None:
    """Show the GPU behind each CUDA ordinal, and what each token of the variable did.

    The rules are CUDA's documented ones; on a machine with a driver CUDA itself is asked in a child
    process, whose answer wins.
    """
    made_up = _made_up(ctx, pid)
    environ = _changed(dict(made_up) if made_up is not None else _environ(pid), changes)
    with open_machine(ctx.obj["demo"], ctx.obj["replay"]) as machine:
        if machine.notice:
            click.echo(machine.notice, err=True)
        apart = made_up is None and pid is not None and in_other_container(pid)
        answer = _answer(machine, environ, pid, python, timeout, apart=apart)
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope(SCHEMA, to_builtins(answer)))
        return
    from gpudoctor.render.text import console
    from gpudoctor.render.visible import print_text

    print_text(answer, console())


def _made_up(ctx: click.Context, pid: int | None) -> Mapping[str, str] | None:
    """The environment of a process of the demo; None where `pid` is not one of its."""
    if pid is None or not (ctx.obj["demo"] or ctx.obj["replay"]):
        return None
    if ctx.obj["replay"]:
        raise GpuDoctorError(
            "a recording does not hold the variables of processes",
            hint=f"On which GPUs it was: gpudoctor --replay {ctx.obj['replay']} ps",
        )
    from gpudoctor.nvml.demo import ENVIRONMENTS

    return ENVIRONMENTS.get(pid)


def _environ(pid: int | None) -> dict[str, str]:
    """Our environment, or that of the process."""
    try:
        return dict(os.environ) if pid is None else environ_of(pid)
    except OSError as error:
        raise unreadable(pid or 0, error) from error


def _changed(environ: dict[str, str], changes: Sequence[str]) -> dict[str, str]:
    for change in changes:
        name, equals, value = change.partition("=")
        if not name:
            raise GpuDoctorError(
                f"--env {change} names no variable", hint="Write --env NAME=VALUE."
            )
        environ.pop(name, None)
        if equals:
            environ[name] = value
    return environ


def _answer(
    machine: Machine,
    environ: Mapping[str, str],
    pid: int | None,
    python: str | None,
    timeout: float,
    *,
    apart: bool,
) -> Visibility:
    real = machine.nvml.source == "nvml"
    if python is not None and not real:
        raise GpuDoctorError(
            "--python asks this machine and cannot be combined with --demo or --replay",
            hint="Leave out one of them.",
        )
    gpus = driver_report(machine.nvml).gpus
    if apart:
        gpus = given_to_container(environ.get("NVIDIA_VISIBLE_DEVICES", "all"), gpus)
    answer = resolve(environ, gpus)
    if real and not apart:
        theirs = pid is not None and stranger(pid) is not None
        target = _target(_harmless(environ) if theirs else environ, python)
        asked = probe.run(target, timeout, "all" if python else "devices")
        answer = confirmed(answer, asked, gpus, "torch" if python else "driver")
    answer = with_notes(answer, environ)
    if pid is not None:
        answer = reconciled(answer, pid, uses_of(machine.nvml, pid, gpus))
    return answer


def _harmless(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in _OF_OTHERS if name in environ}


def _target(environ: Mapping[str, str], python: str | None) -> Target:
    """The child's interpreter, in our environment with the variables that choose GPUs replaced."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_PASSED)}
    chosen = {name: value for name, value in environ.items() if name.startswith(_PASSED)}
    if python is None:
        return Target(sys.executable, "gpudoctor's own", {**ours, **chosen})
    found = find(python)
    return Target(found.executable, found.chosen, {**ours, **chosen})

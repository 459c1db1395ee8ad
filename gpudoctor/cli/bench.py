"""`gpudoctor bench cudnn` and `gpudoctor bench main.py`."""

from __future__ import annotations

from typing import Any

import click

from gpudoctor.cli.options import span
from gpudoctor.model.bench import BenchReport


class _ScriptOrCommand(click.Group):
    """`bench cudnn …` is a command; `bench` with anything else is about a script."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The script command for whatever is no command of its own."""
        if args[0] not in self.commands:
            args = [_SCRIPT, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options come before a script as well as after it: they are the script command's."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = [_SCRIPT, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Only what has a name that a user types."""
        return [name for name in super().list_commands(ctx) if name != _SCRIPT]


_SCRIPT = "SCRIPT"


@click.group(cls=_ScriptOrCommand, no_args_is_help=True)
def bench() -> None:
    """Measure settings against each other: cuDNN's modes, or what if my script did otherwise?

    \b
    gpudoctor bench cudnn [OPTIONS]              benchmark mode against deterministic
    gpudoctor bench [OPTIONS] main.py [ARGS]...  the script, with one setting changed at a time
    """


@bench.command()
@click.option(
    "--model", default="resnet50", show_default=True, metavar="NAME[,NAME]...",
    help="resnet50, unet, conv1d, vgg, convnext, or module:function that returns (model, inputs).",
)  # fmt: skip
@click.option("--modes", default="", metavar="NAME[,NAME]...", help="Only these besides default.")
@click.option("--device", metavar="DEVICE", help="cuda:0, cpu; by default what there is.")
@click.option("--batch", type=click.IntRange(1), help="Batch size.  [default: the network's]")
@click.option("--size", type=click.IntRange(32), help="Input's side or length.")
@click.option("--amp", is_flag=True, help="Under autocast, in bfloat16 where the device has it.")
@click.option("--channels-last", is_flag=True, help="Tensors in channels_last layout.")
@click.option("--steps", type=click.IntRange(2), default=20, show_default=True, metavar="N")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, metavar="N")
@click.option("--budget", callback=span, default="10m", show_default=True, metavar="TIME")
@click.option("--python", metavar="PY", help="The interpreter, or the folder of its environment.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.bench/1).")
def cudnn(
    model: str, modes: str, python: str | None, budget: float, as_json: bool, **wanted: Any
) -> None:
    """How much faster is benchmark mode, what does deterministic cost, and is it reproducible?"""
    from gpudoctor.bench.children import launcher
    from gpudoctor.bench.cudnn import Plan, run
    from gpudoctor.host.interpreter import find

    target = find(python)
    plan = Plan(
        models=_names(model),
        modes=_names(modes),
        budget_s=budget,
        **{name: value for name, value in wanted.items() if value is not None},
    )
    with launcher(target.executable, target.environ) as launch:
        _show(run(plan, launch, _progress), as_json=as_json)


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _show(report: BenchReport, *, as_json: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.bench/1", to_builtins(report)))
        return
    from gpudoctor.render.bench import report as rendered
    from gpudoctor.render.text import console

    screen = console()
    for part in rendered(report, width=screen.width):
        screen.print(part)

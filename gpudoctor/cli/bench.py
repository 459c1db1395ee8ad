"""`gpudoctor bench cudnn` and `gpudoctor bench main.py`."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gpudoctor.cli.options import html_option, metrics_file_option, span
from gpudoctor.errors import GpuDoctorError
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

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The script form has no page of its own under a name, so its options stand here."""
        super().format_options(ctx, formatter)
        params = self.commands[_SCRIPT].params
        options = [one.get_help_record(ctx) for one in params if isinstance(one, click.Option)]
        with formatter.section("Options with main.py"):
            formatter.write_dl([record for record in options if record is not None])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Only what has a name that a user types."""
        return [name for name in super().list_commands(ctx) if name != _SCRIPT]


class _ScriptCommand(click.Command):
    """Takes its own options before the script's name, and after it as far as a `--`."""

    allow_interspersed_args = False
    ignore_unknown_options = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Moves options of ours that stand behind the script's name in front of it."""
        takes_value = {
            name: not getattr(option, "is_flag", False)
            for option in self.params
            for name in option.opts
            if name.startswith("--")
        }
        place = _first_positional(args, takes_value)
        ours, theirs = _apart(args[place + 1 :], takes_value)
        if ours:
            said = " ".join(ours)
            click.echo(f"taken as gpudoctor's: {said} (the script's own stand after --)", err=True)
        return super().parse_args(ctx, [*args[:place], *ours, *args[place : place + 1], *theirs])


def _first_positional(args: Sequence[str], takes_value: Mapping[str, bool]) -> int:
    place = 0
    while place < len(args) and args[place].startswith("-"):
        place += 2 if takes_value.get(args[place], False) else 1
    return place


def _apart(args: Sequence[str], takes_value: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """What is gpudoctor's and what is the script's own."""
    ours: list[str] = []
    theirs: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if word == "--":
            return ours, theirs + rest
        if name not in takes_value:
            theirs.append(word)
            continue
        ours.append(word)
        if takes_value[name] and not equals and rest:
            ours.append(rest.pop(0))
    return ours, theirs


_SCRIPT = "SCRIPT"
_USUAL_ROUNDS = 5
_ROUNDS = click.option(
    "--rounds", type=click.IntRange(1), metavar="N",
    help="Fresh processes of each setting; no claim is made from fewer than 3.  "
    "[default: 5, and up to 15 where the timings scatter]",
)  # fmt: skip


@click.group(cls=_ScriptOrCommand, no_args_is_help=True)
def bench() -> None:
    """Measure settings against each other: cuDNN's modes, or what if my script did otherwise?

    \b
    gpudoctor bench cudnn [OPTIONS]              benchmark mode against deterministic
    gpudoctor bench [OPTIONS] main.py [ARGS]...  the script, with one setting changed at a time
    """


@bench.command()
@click.option(
    "--model", metavar="NAME[,NAME]...",
    help="resnet50, unet, conv1d, vgg, convnext, or module:function that returns (model, inputs).  "
    "[default: resnet50; without CUDA conv1d]",
)  # fmt: skip
@click.option("--modes", default="", metavar="NAME[,NAME]...", help="Only these besides default.")
@click.option("--device", metavar="DEVICE", help="cuda:0, cpu; by default what there is.")
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Batch size.  [default: the network's]"
)
@click.option("--size", type=click.IntRange(32), metavar="N", help="Input's side or length.")
@click.option("--amp", is_flag=True, help="Under autocast, in bfloat16 where the device has it.")
@click.option("--channels-last", is_flag=True, help="Tensors in channels_last layout.")
@click.option(
    "--steps", type=click.IntRange(2), metavar="N",
    help="Measured steps of each process, after 3 to warm up.  [default: 20; without CUDA 5]",
)  # fmt: skip
@_ROUNDS
@click.option(
    "--budget", callback=span, metavar="TIME",
    help="No round begins that would end later than this (90s, 5m, 1h); one is always run.  "
    "[default: 10m; without CUDA 2m]",
)  # fmt: skip
@click.option("--python", metavar="PY", help="The interpreter, or the folder of its environment.")
@html_option
@metrics_file_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.bench/1).")
def cudnn(
    model: str | None, modes: str, python: str | None, budget: float | None, html: Path | None,
    metrics_file: Path | None, as_json: bool, **wanted: Any,
) -> None:  # fmt: skip
    """How much faster is benchmark mode, what does deterministic cost, and is it reproducible?"""
    from gpudoctor.bench.children import launcher
    from gpudoctor.bench.cudnn import Plan, run
    from gpudoctor.host.interpreter import find

    _check(metrics_file)
    target = find(python)
    _warn_of_few(wanted["rounds"])
    plan = Plan(
        models=_names(model or ""),
        modes=_names(modes),
        budget_s=budget or 0.0,
        **{
            name: value
            for name, value in {**wanted, **_rounds(wanted["rounds"])}.items()
            if value is not None
        },
    )
    with launcher(target.executable, target.environ) as launch:
        report = run(plan, launch, _progress)
    _show(report, html, metrics_file, as_json=as_json)


@bench.command(_SCRIPT, cls=_ScriptCommand)
@click.argument("script", metavar="main.py")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--try", "tried", metavar="SETTING[,SETTING]...", show_default=True, default=None,
    help="num-workers=0..8, prefetch=4, pin-memory, persistent-workers, fused-optimizer, "
    "channels-last, amp, cudnn-benchmark, tf32, deterministic (all these by default), compile.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(2), metavar="N",
    help="Measured steps of each run.  [default: 50, and as many more as make up a second]",
)  # fmt: skip
@click.option(
    "--warmup", type=click.IntRange(1), default=5, show_default=True, metavar="N",
    help="Steps of each run that are not measured.",
)  # fmt: skip
@_ROUNDS
@click.option(
    "--budget", callback=span, default="5m", show_default=True, metavar="TIME",
    help="Time for all runs together (90s, 5m, 1h), shared by all that is tried.",
)  # fmt: skip
@click.option("--cwd-copy", is_flag=True, help="Run in a fresh copy of this folder each time.")
@click.option("--module", is_flag=True, help="main.py is the name of a module, as for python -m.")
@click.option("--python", metavar="PY", help="The interpreter, or the folder of its environment.")
@click.option(
    "--apply", type=click.Choice(["best"]), help="Print the best edit's patch; edits nothing."
)
@html_option
@metrics_file_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.bench/1).")
def script(
    script: str, arguments: tuple[str, ...], python: str | None, apply: str | None,
    html: Path | None, metrics_file: Path | None, as_json: bool,
    **wanted: Any,
) -> None:  # fmt: skip
    """Run main.py several times, each time with one setting changed, and say what is gained.

    Options may also stand after main.py. What belongs to the script itself stands after `--`.
    """
    from gpudoctor.bench import session, whatif
    from gpudoctor.bench.children import launcher
    from gpudoctor.bench.settings import DEFAULT, parse
    from gpudoctor.host.interpreter import find

    if not wanted["module"] and not Path(script).exists():
        meant = "cudnn" if difflib.get_close_matches(script, ["cudnn"]) else None
        hint = f"Did you mean: gpudoctor bench {meant}" if meant else "Try: gpudoctor bench --help"
        raise GpuDoctorError(f"there is no script {script}", hint=hint)
    _check(metrics_file)
    target = find(python)
    _warn_of_few(wanted["rounds"])
    plan = session.Plan(
        kind="module" if wanted["module"] else "script",
        target=script,
        arguments=arguments,
        wanted=parse(wanted["tried"] or DEFAULT),
        steps=wanted["steps"] or session.STEPS,
        least_s=0.0 if wanted["steps"] else session.LEAST_S,
        warmup=wanted["warmup"],
        **_rounds(wanted["rounds"]),
        budget_s=wanted["budget"],
        copy_from=Path.cwd() if wanted["cwd_copy"] else None,
    )
    with launcher(target.executable, target.environ) as launch:
        report = whatif.run(plan, launch, _progress)
    if apply is None:
        _show(report, html, metrics_file, as_json=as_json)
    else:
        _patch(report)
        _keep(report, metrics_file)


def _check(metrics_file: Path | None) -> None:
    if metrics_file is not None:
        from gpudoctor.render.metrics_file import check

        check(metrics_file)


def _keep(report: BenchReport, metrics_file: Path | None) -> None:
    if metrics_file is not None:
        from gpudoctor.render.metrics_file import write_bench

        write_bench(metrics_file, report, time.time())


def _patch(report: BenchReport) -> None:
    """The best edit's patch on stdout, the verdict on stderr."""
    for verdict in report.verdicts:
        click.echo(verdict, err=True)
    gains = [r for r in report.results if r.speedup is not None and r.speedup.faster]
    best = max(gains, key=lambda r: r.speedup.value if r.speedup else 0.0, default=None)
    if best is None or best.edit is None:
        click.echo("There is nothing to apply.", err=True)
    elif best.edit.patch is None:
        click.echo(f"There is no patch for it. To change by hand: {best.edit.text}", err=True)
    else:
        click.echo(best.edit.patch, nl=False)


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())


def _rounds(asked: int | None) -> dict[str, Any]:
    """A number that was asked for is kept to; else there are more where the timings scatter."""
    return {"rounds": asked or _USUAL_ROUNDS, "grow": asked is None}


def _warn_of_few(rounds: int | None) -> None:
    from gpudoctor.bench.statistics import LEAST_ROUNDS

    if rounds is not None and rounds < LEAST_ROUNDS:
        few = f"{rounds} round{'s' if rounds > 1 else ''}"
        click.echo(
            f"with {few} nothing will be claimed about speed: {LEAST_ROUNDS} are needed", err=True
        )


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _show(
    report: BenchReport, html: Path | None, metrics_file: Path | None, *, as_json: bool
) -> None:
    # What was measured is shown first, whatever becomes of the files.
    _print(report, as_json=as_json)
    if html is not None:
        _write_html(report, html)
    _keep(report, metrics_file)


def _write_html(report: BenchReport, path: Path) -> None:
    from gpudoctor.render.bench_html import html

    try:
        path.write_text(html(report), encoding="utf-8")
    except OSError as error:
        raise GpuDoctorError(f"{path} cannot be written", cause=error.strerror) from error
    click.echo(f"wrote {path}", err=True)


def _print(report: BenchReport, *, as_json: bool) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.bench/1", to_builtins(report)))
        return
    from gpudoctor.render.bench import report as rendered
    from gpudoctor.render.text import console

    screen = console()
    for part in rendered(report, width=screen.width):
        screen.print(part)

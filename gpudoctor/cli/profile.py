"""`gpudoctor profile main.py`: runs a script once and says where its time goes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpudoctor.cli import profile_modes as modes
from gpudoctor.cli.options import metrics_file_option
from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.model.profile import Profile
    from gpudoctor.profile.launcher import Program


class _AsPython(click.Command):
    """Takes its options as python does: what follows the script, `-m module` or `-c code` is the script's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `--` where the options of gpudoctor end."""
        with_value = {
            name
            for parameter in self.params
            if isinstance(parameter, click.Option) and not parameter.is_flag
            for name in parameter.opts
        }
        at = 0
        while at < len(args) and args[at].startswith("-") and args[at] not in ("-", "--"):
            last = args[at] in ("-m", "-c")
            at += 2 if args[at] in with_value else 1
            if last:
                args = [*args[:at], "--", *args[at:]]
                break
        return super().parse_args(ctx, args)


@click.command(cls=_AsPython, context_settings={"allow_interspersed_args": False})
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[main.py] [ARGS]...")
@click.option("-m", "module", metavar="MODULE", help="Run a module, as `python -m` does.")
@click.option("-c", "code", metavar="CODE", help="Run code, as `python -c` does.")
@click.option(
    "--python", metavar="PY", help="The interpreter, or its virtual environment's folder."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (gpudoctor.profile/1)."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the session, the trace and the reports in DIR.",
)
@metrics_file_option
@click.option(
    "--load",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run nothing; report what an earlier --out DIR holds.",
)
@click.option(
    "--wait",
    default=5,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Steps to let pass before torch's profiler looks.",
)
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Steps it looks at (default: about 1 s)."
)
@click.option(
    "--mode",
    default="verdict",
    show_default=True,
    type=click.Choice(["verdict", "bottleneck"]),
    help="bottleneck: count all Python calls with cProfile, and print what torch.utils.bottleneck did.",
)
@click.option("--shapes", is_flag=True, help="Record the operators' shapes in the trace.")
@click.option(
    "--memory-history", is_flag=True, help="Record what CUDA's allocator does, and for which lines."
)
@click.option(
    "--sampler",
    default="inside",
    show_default=True,
    type=click.Choice(["inside", "py-spy"]),
    help="Who samples Python stacks: a thread of the script's own process, or py-spy from outside.",
)
@click.option("--native", is_flag=True, help="Native frames in the stacks, too (by py-spy).")
@click.option("--no-operators", is_flag=True, help="Leave torch's profiler out.")
@click.option("--no-modules", is_flag=True, help="Leave out the times of each nn.Module.")
@click.option("--no-copies", is_flag=True, help="Leave out copies of the same bytes in every step.")
@click.option("--no-functions", is_flag=True, help="Leave out the sampling of Python functions.")
@modes.options
@click.pass_context
def profile(
    ctx: click.Context,
    /,
    program: tuple[str, ...],
    module: str | None,
    code: str | None,
    python: str | None,
    as_json: bool,
    out: Path | None,
    load: Path | None,
    mode: str,
    metrics_file: Path | None,
    **collect: Any,
) -> None:
    """Run a script once, unmodified, and say where its time goes and what to change.

    Options of gpudoctor go before the script; what follows it is the script's. The exit code is the
    script's own. With --json, what the script prints goes to stderr.
    """
    if (load is not None or collect["diff"]) and (program or module or code):
        name = "--diff" if collect["diff"] else "--load"
        raise GpuDoctorError(f"{name} runs nothing", hint="Leave the script out.")
    if metrics_file is not None:
        modes.check_metrics_file(metrics_file, one_run=not collect["diff"])
    if collect["diff"]:
        modes.show_diff(collect["diff"], as_json)
        return
    if load is not None:
        _loaded(load, metrics_file, as_json, mode)
        return
    watched = collect["pid"] is not None
    if collect["memory_history"] and (watched or collect["no_operators"]):
        raise GpuDoctorError(
            "--memory-history needs a profiled window",
            hint="Leave --pid and --no-operators out.",
        )
    chosen = None if watched else _program(program, module, code)
    ranks = None if chosen is None else modes.torchrun(chosen, collect["nproc_per_node"])
    if mode == "bottleneck" and (watched or ranks is not None):
        raise GpuDoctorError("--mode bottleneck is for one process that gpudoctor starts itself")
    with _folder(out) as folder:
        if ranks is not None:
            modes.check_metrics_file(metrics_file, one_run=False)
            ctx.exit(modes.run_ranks(ranks, folder, out, python, as_json, collect))
        with modes.gpus_beside(folder, collect["pid"]):
            if chosen is None:
                exit_code = modes.watch(folder, collect, alone=not (program or module or code))
            else:
                exit_code = _run(chosen, folder, python, as_json, {**collect, "mode": mode})
        seen = _profile_of(folder, None if watched else exit_code)
        lost = None if out is None else modes.keep_reports(seen, folder)
        _show(seen, out if lost is None else None, as_json, mode)
    modes.write_metrics(seen, metrics_file, exit_code)
    if lost is not None:
        # The run cannot be had again, its files can: what was seen is shown first.
        modes.say_lost(lost, exit_code)
    if not watched:
        modes.hint_torch(seen, python)
    ctx.exit(exit_code)


def _loaded(folder: Path, metrics_file: Path | None, as_json: bool, mode: str) -> None:
    from gpudoctor.profile.summary import load_profile

    if modes.are_ranks(folder):
        modes.check_metrics_file(metrics_file, one_run=False)
        modes.show_ranks(folder, folder, as_json)
        return
    seen = load_profile(folder)
    _show(seen, folder, as_json, mode)
    modes.write_metrics(seen, metrics_file, 0)


def _program(program: tuple[str, ...], module: str | None, code: str | None) -> Program:
    from gpudoctor.profile.launcher import Program

    if module is not None:
        return Program("module", module, program)
    if code is not None:
        return Program("code", code, program)
    if not program:
        raise GpuDoctorError(
            "there is nothing to profile", hint="Name the script: gpudoctor profile main.py"
        )
    if program[0] == "-":
        return Program("stdin", "-", program[1:])
    return Program("script", program[0], program[1:])


@contextlib.contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="gpudoctor-") as folder:
            yield Path(folder)
        return
    try:
        if out.exists() and any(out.iterdir()) and not modes.is_session(out):
            raise GpuDoctorError(f"{out} is not empty", hint="Name a new folder for --out.")
        out.mkdir(parents=True, exist_ok=True)
        modes.forget(out)
    except OSError as error:
        raise GpuDoctorError(f"{out} cannot be written", cause=error.strerror) from error
    yield out


def _run(
    program: Program, folder: Path, python: str | None, as_json: bool, collect: dict[str, Any]
) -> int:
    from gpudoctor.host.interpreter import find
    from gpudoctor.profile.launcher import Collect, launch

    program.check()
    outside = modes.outside(folder, collect)
    modes.say_misplaced(program)
    target = find(python)
    modes.say_interpreter(target)
    exit_code = launch(
        target.executable,
        program,
        folder,
        Collect(
            operators=not collect["no_operators"],
            functions=not collect["no_functions"] and collect["mode"] == "verdict",
            calls=collect["mode"] == "bottleneck",
            wait=collect["wait"],
            steps=collect["steps"],
            shapes=collect["shapes"],
            modules=not collect["no_modules"],
            copies=not collect["no_copies"],
            memory_history=collect["memory_history"],
        ),
        stdout_to_stderr=as_json,
        outside=outside,
    )
    modes.say_outside(outside)
    return exit_code


def _profile_of(folder: Path, exit_code: int | None) -> Profile:
    from gpudoctor.profile.summary import load_profile

    if not (folder / "session.json").exists():
        raise GpuDoctorError(
            "the script left nothing to report",
            cause=f"it ended with exit code {exit_code} before the profiler could write a session",
            hint="Is the disk full, or the interpreter older than Python 3.9?",
        )
    return load_profile(folder, exit_code)


def _show(seen: Profile, folder: Path | None, as_json: bool, mode: str) -> None:
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.profile/1", to_builtins(seen)))
        return
    if mode == "bottleneck":
        from gpudoctor.render.bottleneck import bottleneck

        click.echo("\n".join(bottleneck(seen)))
        return
    from gpudoctor.render.profile import report
    from gpudoctor.render.text import console

    console().print(*report(seen, folder), sep="\n")

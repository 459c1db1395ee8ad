"""The other ways of `gpudoctor profile`: a job that already runs, several ranks, and what goes beside."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gpudoctor import units
from gpudoctor.errors import GpuDoctorError

if TYPE_CHECKING:
    from gpudoctor.host.interpreter import Target
    from gpudoctor.model.profile import Profile
    from gpudoctor.profile.launcher import Program
    from gpudoctor.profile.outside import Outside
    from gpudoctor.profile.outside_ranks import RanksOutside
    from gpudoctor.profile.timeline import GpuWatch

F = TypeVar("F", bound=Callable[..., Any])
# Every rank traces these many, since each would choose another number by its own clock.
_RANK_STEPS = 10
_LEFT = (
    "session.json",
    "trace.json",
    "modules.json",
    "memory.json",
    "memory.pickle",
    "gpus.json",
    "stacks.raw",
    "stacks.py-spy.json",
    "rank.json",
)
_NO_TORCH = "ModuleNotFoundError: No module named 'torch'"
_OPTIONS = (
    click.option(
        "--pid", type=click.IntRange(1), metavar="PID", help="Watch a job that already runs."
    ),
    click.option(
        "--duration",
        type=click.FloatRange(1, 3600),
        default=20.0,
        show_default=True,
        metavar="SECONDS",
        help="With --pid: for how long.",
    ),
    click.option(
        "--inject",
        is_flag=True,
        help="With --pid: enter the job and start torch's profiler in it, where it was not started with "
        "KINETO_USE_DAEMON=1.",
    ),
    click.option(
        "--nproc-per-node",
        metavar="N",
        help="Run the script with torchrun in N processes, and compare the ranks.",
    ),
    click.option(
        "--diff",
        nargs=2,
        type=click.Path(path_type=Path),
        metavar="BEFORE AFTER",
        help="Run nothing; compare what two --out folders hold.",
    ),
)


def options(function: F) -> F:
    """Adds the options of these ways to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def watch(folder: Path, collect: dict[str, Any], alone: bool) -> int:
    """Watches the running job that --pid names, its session in `folder`; the exit code.

    Raises:
        GpuDoctorError: a script was named too (not `alone`), or nothing can be seen of the job.
    """
    from gpudoctor.profile.ondemand import watch as watch_process

    if not alone:
        raise GpuDoctorError("--pid runs nothing", hint="Leave the script out.")
    if collect["native"]:
        raise GpuDoctorError("--native is for a script that gpudoctor starts itself")
    watch_process(
        collect["pid"],
        collect["duration"],
        folder,
        stacks=not collect["no_functions"],
        operators=not collect["no_operators"],
        shapes=collect["shapes"],
        enter=_enter if collect["inject"] else None,
        say=lambda words: click.echo(words, err=True),
    )
    return 0


def _enter(pid: int, path: Path, seconds: float) -> None:
    from gpudoctor.profile.payload import source, understood
    from gpudoctor.reclaim.entrance import entrance
    from gpudoctor.reclaim.visitor import visit_apart

    done = visit_apart(entrance(pid), source(path, seconds), timeout_s=seconds + 60)
    understood(pid, done.answer)


def outside(folder: Path, collect: dict[str, Any]) -> Outside | None:
    """What samples the program from outside, where that was asked for."""
    from gpudoctor.profile.outside import Outside

    if collect["no_functions"] or not (collect["native"] or collect["sampler"] == "py-spy"):
        return None
    if collect["mode"] == "bottleneck":
        raise GpuDoctorError("--mode bottleneck counts calls, and samples nothing")
    return Outside(folder, native=collect["native"])


@contextlib.contextmanager
def gpus_beside(folder: Path, pid: int | None) -> Iterator[None]:
    """Writes to `folder` what NVML says of the GPUs of process `pid`, or of our own children, meanwhile."""
    from gpudoctor.profile.timeline import GpuWatch, beside

    watch = GpuWatch(os.getpid() if pid is None else pid)
    try:
        with beside(lambda stop: _sample(watch, stop)):
            yield
    finally:
        watch.write(folder)


def _sample(watch: GpuWatch, stop: threading.Event) -> None:
    from gpudoctor.cli.sources import open_machine
    from gpudoctor.profile.timeline import COLLECTED, INTERVAL_S
    from gpudoctor.sampling.collector import registered
    from gpudoctor.sampling.sampler import Sampler

    # A machine without a GPU or a driver is no error here: the script may well run on the CPU.
    with contextlib.suppress(GpuDoctorError), open_machine() as machine:
        sampler = Sampler(
            machine.nvml,
            machine.host,
            interval_s=INTERVAL_S,
            collectors=tuple(one for one in registered() if one.name in COLLECTED),
        )
        sampler.subscribe(watch.take)
        sampler.start()
        stop.wait()
        sampler.stop()


def keep_reports(seen: Profile, folder: Path) -> GpuDoctorError | None:
    """Writes the reports into `folder`; what kept them from it."""
    from gpudoctor.render.profile_files import write_reports

    try:
        write_reports(seen, folder)
    except GpuDoctorError as error:
        return error
    return None


def check_metrics_file(path: Path | None, *, one_run: bool) -> None:
    """That --metrics-file can be written, before a run that takes long.

    Raises:
        GpuDoctorError: it cannot, or there is not just `one_run` of which it could tell.
    """
    if path is None:
        return
    if not one_run:
        raise GpuDoctorError("--metrics-file tells of one run of one process", hint="Leave it out.")
    from gpudoctor.render.metrics_file import check

    check(path)


def write_metrics(seen: Profile, path: Path | None, exit_code: int) -> None:
    """Writes what --metrics-file asks for; a failure is told as that of other files."""
    if path is None:
        return
    from gpudoctor.render.metrics_file import write_profile

    try:
        write_profile(path, seen)
    except GpuDoctorError as error:
        say_lost(error, exit_code)


def say_lost(error: GpuDoctorError, exit_code: int) -> None:
    """Says what kept files from being written; with the script's exit code where that tells more.

    Raises:
        GpuDoctorError: the script itself ended well.
    """
    if not exit_code:
        raise error
    click.echo(f"error: {error.message}: {error.cause or units.UNKNOWN}", err=True)


def say_outside(outside: Outside | RanksOutside | None) -> None:
    """Says on stderr why py-spy did not sample the script, where it was asked to."""
    if outside is not None and outside.why_not is not None:
        click.echo(f"note: not sampled by py-spy: {outside.why_not}.", err=True)


def say_interpreter(target: Target) -> None:
    """Says on stderr which interpreter runs the script, and why where it was not asked for by name."""
    click.echo(f"Profiling with {_named(target)}.", err=True)


def _named(target: Target) -> str:
    why = "" if target.chosen.startswith("--python") else f" ({target.chosen})"
    return f"{target.executable}{why}"


def say_misplaced(program: Program) -> None:
    """Notes on stderr which of this command's options stand after the script, and thus are the script's.

    One that the script's own text names is meant for it.
    """
    own = {name for option in click.get_current_context().command.params for name in option.opts}
    given = itertools.takewhile(lambda word: word != "--", program.arguments)
    names = dict.fromkeys(word.partition("=")[0] for word in given if word.startswith("--"))
    found = [name for name in names if name in own]
    if program.kind == "script" and found:
        text = _text(Path(program.target))
        found = [name for name in found if name not in text]
    if found:
        click.echo(
            f"note: {', '.join(found)} after {program.target} is given to the script; options of "
            "gpudoctor go before it.",
            err=True,
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # a folder with a __main__.py
        return ""


def hint_torch(seen: Profile, python: str | None) -> None:
    """Says on stderr what to do where the script missed torch in its interpreter."""
    from gpudoctor.host.interpreter import find

    if not (seen.run.exception or "").startswith(_NO_TORCH):
        return
    target = find(python)
    click.echo(
        f"\nhint: the interpreter {_named(target)} has no torch; name the right one with --python, before "
        "the script.",
        err=True,
    )


def torchrun(program: Program, processes: str | None) -> list[str] | None:
    """torchrun's arguments where the program is to run in several ranks, else None."""
    from gpudoctor.profile.torchrun import arguments

    return arguments(program, processes)


def run_ranks(
    arguments: list[str],
    folder: Path,
    out: Path | None,
    python: str | None,
    as_json: bool,
    collect: dict[str, Any],
) -> int:
    """Runs torchrun, shows what its ranks left in `folder`, and gives torchrun's exit code."""
    from gpudoctor.host.interpreter import find
    from gpudoctor.profile.launcher import Collect
    from gpudoctor.profile.outside_ranks import RanksOutside
    from gpudoctor.profile.torchrun import launch_ranks

    from_outside = collect["native"] or collect["sampler"] == "py-spy"
    beside = (
        RanksOutside(folder, collect["native"])
        if from_outside and not collect["no_functions"]
        else None
    )
    target = find(python)
    say_interpreter(target)
    chosen = Collect(
        operators=not collect["no_operators"],
        functions=not collect["no_functions"],
        wait=collect["wait"],
        steps=collect["steps"] or _RANK_STEPS,
        shapes=collect["shapes"],
        modules=not collect["no_modules"],
        copies=not collect["no_copies"],
        memory_history=collect["memory_history"],
        ranks=True,
    )
    with gpus_beside(folder, None):
        exit_code = launch_ranks(
            target.executable, arguments, folder, chosen, stdout_to_stderr=as_json, outside=beside
        )
    say_outside(beside)
    show_ranks(folder, out, as_json)
    return exit_code


def show_ranks(folder: Path, out: Path | None, as_json: bool) -> None:
    """Prints the report on the ranks in `folder`, and leaves their files where it is kept (`out`)."""
    from gpudoctor.profile.ranks import load_ranks

    seen = load_ranks(folder)
    if out is not None:
        from gpudoctor.render.rank_files import write_rank_reports

        write_rank_reports(seen, out)
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.profile.ranks/1", to_builtins(seen)))
        return
    from gpudoctor.render.ranks import report
    from gpudoctor.render.text import console

    console().print(*report(seen, out), sep="\n")


def are_ranks(folder: Path) -> bool:
    """Whether `folder` holds the sessions of several ranks."""
    from gpudoctor.profile.ranks import rank_folders

    return bool(rank_folders(folder)) and not (folder / "session.json").is_file()


def is_session(folder: Path) -> bool:
    """Whether an earlier run left its session, or its ranks', in `folder`."""
    kept = ("session.json", "rank.sh")
    return any((folder / name).is_file() for name in kept) or are_ranks(folder)


def forget(folder: Path) -> None:
    """Removes what an earlier run left in `folder` and this one might not write anew."""
    from gpudoctor.profile.ranks import rank_folders
    from gpudoctor.profile.tensorboard import forget_traces

    forget_traces(folder)
    for one in (folder, *rank_folders(folder).values()):
        for name in _LEFT:
            (one / name).unlink(missing_ok=True)
        for path in one.glob("worker-*.json"):
            path.unlink(missing_ok=True)


def show_diff(folders: tuple[Path, Path], as_json: bool) -> None:
    """Prints what changed from the first folder's run to the second's.

    Raises:
        GpuDoctorError: a folder holds no session, or those of several ranks.
    """
    from gpudoctor.profile.diff import compare
    from gpudoctor.profile.summary import load_profile

    for folder in folders:
        if are_ranks(folder):
            raise GpuDoctorError(
                f"{folder} holds several ranks",
                hint=f"Compare one of them, such as {folder}/rank0.",
            )
    before, after = (load_profile(folder) for folder in folders)
    diff = compare(before, after, (str(folders[0]), str(folders[1])))
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        click.echo(envelope("gpudoctor.profile.diff/1", to_builtins(diff)))
        return
    from gpudoctor.render.profile_diff import report
    from gpudoctor.render.text import console

    console().print(*report(diff, after.run.cwd), sep="\n")

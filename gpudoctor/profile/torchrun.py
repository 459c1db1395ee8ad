"""Starts torchrun so that each of its ranks runs under the runner, in a session folder of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.profile.launcher import RUNNER, Collect, Program, run
from gpudoctor.profile.outside_ranks import RanksOutside

_MODULES = ("torch.distributed.run", "torch.distributed.launch")
_COUNTS = ("auto", "gpu", "cpu", "xpu")
# torchrun starts what PYTHON_EXEC names in place of python: -u [-m] SCRIPT ARGS… follow.
_WRAPPER = """\
#!/bin/sh
# torchrun starts this in place of python: it runs each rank under gpudoctor's runner.
{environment}
[ "$1" = -u ] && shift
kind=script
[ "$1" = -m ] && kind=module && shift
exec {python} -u {runner} {options} "$kind" "$@"
"""


def arguments(program: Program, processes: str | None) -> list[str] | None:
    """What torchrun is to be started with, or None where `program` is not for it.

    `processes` is --nproc-per-node; without it the program must be torchrun itself.

    Raises:
        GpuDoctorError: torchrun cannot run such a program.
    """
    if processes is None:
        if program.kind == "module" and program.target in _MODULES:
            return list(program.arguments)
        named = program.kind == "script" and Path(program.target).name == "torchrun"
        return list(program.arguments) if named else None
    if not (processes in _COUNTS or (processes.isdigit() and int(processes) > 0)):
        raise GpuDoctorError(
            f"--nproc-per-node takes a number, or one of {', '.join(_COUNTS)}",
            cause=f"It was {processes}.",
        )
    if program.kind not in ("script", "module"):
        raise GpuDoctorError(
            "several ranks need a script or a module", hint="Put the code in a file."
        )
    program.check()
    module = ["-m"] if program.kind == "module" else []
    head = ["--standalone", "--nproc-per-node", processes]
    # Without the dashes argparse takes options of the script for abbreviations of its own.
    return [*head, *module, "--", program.target, *program.arguments]


def launch_ranks(
    python: str,
    torchrun: Sequence[str],
    folder: Path,
    collect: Collect,
    *,
    stdout_to_stderr: bool = False,
    outside: RanksOutside | None = None,
) -> int:
    """Run `python -m torch.distributed.run TORCHRUN…`; sessions in rank0, rank1 … of `folder`. The exit
    code is torchrun's. `outside` looks at the ranks meanwhile.

    Raises:
        GpuDoctorError: the interpreter cannot be started, or the folder cannot be written.
    """
    own = os.environ.get("PYTHON_EXEC")
    wrapper = folder.absolute() / "rank.sh"
    text = _WRAPPER.format(
        environment=f"export PYTHON_EXEC={shlex.quote(own)}" if own else "unset PYTHON_EXEC",
        python=shlex.quote(own or python),
        runner=shlex.quote(str(RUNNER)),
        options=shlex.quote(collect.options(folder, None if outside is None else outside.open())),
    )
    try:
        # It will be executed: what an earlier run or somebody else left under its name must not be used.
        replace_file(wrapper, os.fsencode(text), mode=0o700)
    except OSError as error:
        raise GpuDoctorError(f"{folder} cannot be written", cause=error.strerror) from error
    try:
        return run(
            [python, "-m", _MODULES[0], *torchrun],
            environ={**os.environ, "PYTHON_EXEC": str(wrapper)},
            stdout_to_stderr=stdout_to_stderr,
        )
    finally:
        if outside is not None:
            outside.ended()

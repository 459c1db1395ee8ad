"""Starts the user's interpreter on the runner, passes signals on, and waits for the program's own end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpudoctor.errors import GpuDoctorError

RUNNER = Path(__file__).parent.parent / "runner"
_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# A terminal sends these to the script itself, which runs in our process group.
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_SI_KERNEL = 0x80


class Beside(Protocol):
    """What looks at the program from outside: `open` gives a descriptor for the program, `started` is
    told its process, and `ended` is called when it has ended."""

    def open(self) -> int: ...
    def started(self, pid: int) -> None: ...
    def ended(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: `kind` is script, module, code or stdin, as `python` takes them."""

    kind: str
    target: str
    arguments: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises GpuDoctorError where a script is missing or is nothing that python could run."""
        if self.kind != "script":
            return
        path = Path(self.target)
        if not self.target or not path.exists():
            raise GpuDoctorError(
                f"there is no script {self.target or repr(self.target)}",
                cause=f"no such file in {Path.cwd()}",
                hint="Options of gpudoctor go before the script, options of the script after it.",
            )
        if path.is_dir() and not (path / "__main__.py").is_file():
            raise GpuDoctorError(
                f"{self.target} is a folder without a __main__.py",
                hint="Name the script itself.",
            )
        if not path.is_dir() and not path.is_file():
            raise GpuDoctorError(f"{self.target} is not a file", hint="Name a Python script.")
        if path.is_file() and not os.access(path, os.R_OK):
            raise GpuDoctorError(f"{self.target} may not be read", cause="permission denied")
        if path.is_file() and _is_binary(path):
            raise GpuDoctorError(
                f"{self.target} is not a Python script",
                cause="it holds binary data",
                hint="Name the script itself; --python names an interpreter.",
            )


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(1024) and not zipfile.is_zipfile(path)


@dataclass(frozen=True, slots=True)
class Collect:
    """What is collected. `steps` None: as many as fit a window of about one second."""

    operators: bool = True
    functions: bool = True
    wait: int = 5
    steps: int | None = None
    shapes: bool = False
    # One session for each rank, and the same steps traced on all of them.
    ranks: bool = False
    calls: bool = False
    modules: bool = True
    copies: bool = True
    memory_history: bool = False
    interval_seconds: float = 0.01

    def options(self, folder: Path, gate: int | str | None = None) -> str:
        """The runner's first argument; `gate` is the descriptor to wait on for a sampler from outside or,
        of several ranks, the address to call."""
        return json.dumps(
            {
                "folder": str(folder.absolute()),
                "wait": self.wait,
                "steps": self.steps,
                "shapes": self.shapes,
                "ranks": self.ranks,
                "window": self.operators,
                "calls": self.calls,
                "modules": self.modules,
                "copies": self.copies,
                "memory_history": self.memory_history,
                "sample": self.functions,
                "interval": self.interval_seconds,
                "gate": gate,
            }
        )


def launch(
    python: str,
    program: Program,
    folder: Path,
    collect: Collect,
    *,
    environ: Mapping[str, str] | None = None,
    stdout_to_stderr: bool = False,
    outside: Beside | None = None,
) -> int:
    """Run `program` once under `python`, its session in `folder`; the program's exit code (128 + N for
    a signal N, as a shell has it). `outside` looks at it meanwhile.

    Raises:
        GpuDoctorError: the program is missing, or the interpreter cannot be started.
    """
    program.check()
    gate = None if outside is None else outside.open()
    options = collect.options(folder, gate)
    command = [python, str(RUNNER), options, program.kind, program.target, *program.arguments]
    code = run(
        command, environ=environ, stdout_to_stderr=stdout_to_stderr, gate=gate, beside=outside
    )
    if outside is not None:
        outside.ended()
    return code


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    stdout_to_stderr: bool = False,
    gate: int | None = None,
    beside: Beside | None = None,
) -> int:
    """Run `command`, pass signals on to it, and give its exit code (128 + N for a signal N).

    Raises:
        GpuDoctorError: it cannot be started.
    """
    sys.stdout.flush()
    try:
        child = subprocess.Popen(
            command,
            stdout=sys.stderr.fileno() if stdout_to_stderr else None,
            env=None if environ is None else dict(environ),
            pass_fds=() if gate is None else (gate,),
        )
    except OSError as error:
        raise GpuDoctorError(
            f"{command[0]} cannot be started",
            cause=error.strerror,
            hint="Name a Python interpreter with --python.",
        ) from error
    if beside is not None:
        beside.started(child.pid)
    code = _wait(child)
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[bytes]) -> int:
    # Blocked and waited for, since only so does one learn who sent a signal.
    watched = {*_PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        while (code := child.poll()) is None:
            seen = signal.sigtimedwait(watched, 1.0)
            if seen is None or seen.si_signo == signal.SIGCHLD:
                continue
            if seen.si_code != _SI_KERNEL or seen.si_signo not in _FROM_TERMINAL:
                child.send_signal(seen.si_signo)
        return code
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

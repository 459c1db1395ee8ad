"""Runs the probe in the interpreter under test, with a time limit, and reads its answers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gpudoctor.host.interpreter import Target
from gpudoctor.host.libraries import loaded_libraries
from gpudoctor.host.requirements import pins
from gpudoctor.model.decoding import convert, decoder
from gpudoctor.model.probe import (
    CudaDriver,
    Package,
    Probe,
    ProbeOutcome,
    PythonFacts,
    TorchBuild,
    TorchCuda,
)

T = TypeVar("T")
SCRIPT = Path(__file__).with_name("probe_script.py")
MARK = "@gpudoctor-probe "
DEFAULT_TIMEOUT_S = 20.0
_TAIL_CHARS = 2_000
# These start a debugger or a prompt instead of the script, or change how its errors look.
_UNWANTED = ("PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONBREAKPOINT", "PYTHONDEVMODE")


class Answers:
    """What the probe said, line by line; `asking` is the question that it was at last."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self.asking: str | None = None
        for line in text.splitlines():
            if line.startswith(MARK):
                self._take(line[len(MARK) :])

    def _take(self, line: str) -> None:
        try:
            answer = decoder(dict[str, Any]).decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            # The line was cut by the probe's death, or is somebody else's.
            return
        for key, value in answer.items():
            if key == "failure":
                self._fail(value)
            elif key == "asking":
                self.asking = str(value)
            else:
                self.values[key] = value

    def _fail(self, value: Any) -> None:
        if isinstance(value, list) and len(value) == 2:
            self.failures[str(value[0])] = str(value[1])

    def get(self, key: str, kind: type[T]) -> T | None:
        """The answer under `key` as a `kind`; None where there is none of that shape."""
        if self.values.get(key) is None:
            return None
        try:
            return convert(self.values[key], kind)
        except msgspec.ValidationError as error:
            self.failures[key] = f"unexpected answer: {error}"
            return None


def run(target: Target, timeout_s: float = DEFAULT_TIMEOUT_S, what: str = "all") -> Probe:
    """Ask the interpreter; `what` "devices" asks libcuda alone, without importing torch.

    Never raises for a sick interpreter: how it ended is in `outcome`, with what was said until then.
    """
    begun = time.monotonic()
    # Files in memory, not pipes: what a hung child wrote stays readable, and no reader can block.
    out, err = os.memfd_create("probe-stdout"), os.memfd_create("probe-stderr")
    try:
        code, problem = _execute(target, what, timeout_s, out, err)
        answers, tail = Answers(_content(out)), _content(err)[-_TAIL_CHARS:].strip()
    finally:
        os.close(out)
        os.close(err)
    duration = time.monotonic() - begun
    outcome, error, died_of = _outcome(answers, code, problem, tail, timeout_s)
    return _probe(target, answers, outcome, error, died_of, duration)


def _execute(
    target: Target, what: str, timeout_s: float, out: int, err: int
) -> tuple[int | None, str | None]:
    """The exit code (None: it did not end in time) and why it could not be started at all."""
    environ = {name: value for name, value in target.environ.items() if name not in _UNWANTED}
    try:
        child = subprocess.Popen(
            [target.executable, "-B", str(SCRIPT), what],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environ,
            cwd=target.cwd if target.cwd and os.access(target.cwd, os.X_OK) else None,
            start_new_session=True,
        )
    except OSError as error:
        return None, str(error)
    try:
        return child.wait(timeout_s), None
    except subprocess.TimeoutExpired:
        _end_group(child)
        return None, None
    except BaseException:
        _end_group(child)
        raise


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill the probe and its children; one that hangs in the driver dies when the driver lets go."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(1.0)


def _content(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _outcome(
    answers: Answers, code: int | None, problem: str | None, tail: str, timeout_s: float
) -> tuple[ProbeOutcome, str | None, str | None]:
    """How it ended, the text of the error and the name of the signal that killed it."""
    if problem is not None:
        return ProbeOutcome.NOT_STARTED, problem, None
    if code is None:
        where = f" (it was at: {answers.asking})" if answers.asking else ""
        return ProbeOutcome.TIMED_OUT, f"no answer within {timeout_s:g} s{where}", None
    if "done" not in answers.values:
        name = _signal_name(code)
        how = f"killed by {name}" if name else f"exit code {code}"
        where = f" while at: {answers.asking}" if answers.asking else ""
        return ProbeOutcome.CRASHED, "\n".join(filter(None, (how + where, tail))), name
    if "import_failed" in answers.values:
        return ProbeOutcome.IMPORT_FAILED, str(answers.values["import_failed"]), None
    if "no_torch" in answers.values:
        return ProbeOutcome.NO_TORCH, str(answers.values["no_torch"]), None
    return ProbeOutcome.OK, None, None


def _signal_name(code: int) -> str | None:
    if code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _probe(
    target: Target,
    answers: Answers,
    outcome: ProbeOutcome,
    error: str | None,
    died_of: str | None,
    duration_s: float,
) -> Probe:
    if isinstance(answers.values.get("torch"), dict):
        answers.values["torch"]["import_seconds"] = answers.values.get("import_seconds")
    packages = answers.get("packages", tuple[Package, ...]) or ()
    return Probe(
        outcome=outcome,
        executable=target.executable,
        chosen=target.chosen,
        duration_seconds=duration_s,
        error=error,
        signal=died_of,
        python=answers.get("python", PythonFacts),
        torch=answers.get("torch", TorchBuild),
        cuda=answers.get("cuda", TorchCuda),
        driver=answers.get("driver", CudaDriver),
        switches=answers.get("switches", dict[str, str]) or {},
        libraries=loaded_libraries(answers.get("mapped", list[str]) or [], packages),
        packages=packages,
        pins=pins(
            answers.get("requirements", dict[str, list[str]]) or {},
            answers.get("markers", dict[str, str]) or {},
            packages,
        ),
        failures=answers.failures,
    )

"""Runs the program as `python` would, with a recorder beside it, and ends as the program ended."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from types import FrameType
from typing import Any, Dict, List, Optional

from . import gate, program, tracebacks
from .files import replace
from .recorder import Recorder

# `__main__` of the runner itself must stay alive when the program's takes its name.
_kept: List[Any] = []


def main() -> None:
    """Reads OPTIONS KIND TARGET [ARGS…] from sys.argv and runs; leaves by the program's own way out."""
    options: Dict[str, Any] = json.loads(sys.argv[1])
    kind, target, arguments = sys.argv[2], sys.argv[3], sys.argv[4:]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [sys.orig_argv[0], *_as_typed(kind, target), *arguments]
    recorder = Recorder(_folder(options), options)
    try:
        code, module = program.load(kind, target, arguments)
    except BaseException as error:
        _failed_to_load(recorder, kind, error)
        raise
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    if options.get("gate") is not None and gate.sampled_outside(options["gate"], recorder.folder):
        recorder.leave_stacks()
    recorder.start([*_as_typed(kind, target), *arguments])
    atexit.register(recorder.write)
    _write_on_sigterm(recorder)
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        recorder.end(_how(error))
        tracebacks.install()
        raise
    recorder.end({"how": "finished"})


def _folder(options: Dict[str, Any]) -> str:
    """Where this process's session goes: under torchrun, a folder for each rank."""
    folder: str = options["folder"]
    if not options.get("ranks") or not os.environ.get("RANK", "").isdigit():
        return folder
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    numbers = {name.lower(): int(os.environ.get(name, "-1")) for name in names}
    folder = os.path.join(folder, "rank{rank}".format(**numbers))
    try:
        os.makedirs(folder, exist_ok=True)
        replace(os.path.join(folder, "rank.json"), json.dumps(numbers))
    except OSError:
        pass
    return folder


def _as_typed(kind: str, target: str) -> List[str]:
    return {"module": ["-m", target], "code": ["-c", target], "stdin": ["-"]}.get(kind, [target])


def _failed_to_load(recorder: Recorder, kind: str, error: BaseException) -> None:
    recorder.end({**_how(error), "how": "not started"})
    if kind == "module" and isinstance(error, ImportError):
        sys.stderr.write(f"{sys.executable}: {error}\n")
        sys.exit(1)
    tracebacks.install()


def _how(error: BaseException) -> Dict[str, Any]:
    if isinstance(error, SystemExit):
        code = error.code
        return {
            "how": "exit",
            "code": code & 0xFF if isinstance(code, int) else int(code is not None),
        }
    if isinstance(error, KeyboardInterrupt):
        return {"how": "interrupted"}
    where = _where(error)
    return {"how": "exception", "text": f"{type(error).__name__}: {error}"[:2000], "site": where}


def _where(error: BaseException) -> Optional[List[Any]]:
    from .code_paths import is_user

    if isinstance(error, SyntaxError):
        return [error.filename, error.lineno]
    trace, found = error.__traceback__, None
    while trace is not None:
        if is_user(trace.tb_frame.f_code.co_filename):
            found = [trace.tb_frame.f_code.co_filename, trace.tb_lineno]
        trace = trace.tb_next
    return found


def _write_on_sigterm(recorder: Recorder) -> None:
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def ended(number: int, _frame: Optional[FrameType]) -> None:
        recorder.end({"how": "terminated"})
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, ended)

"""The source that has a running job profile itself. It needs nothing but what the job has loaded."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.answers import read_answer
from gpudoctor.units import printable

_MOST_OF_AN_ERROR = 300

# Python 3.9 syntax. The first profiler of a process that is not started by the thread which imported
# torch sees no other thread's operators, the second does; hence the empty one before. A profiler that
# still runs when the interpreter ends crashes it, hence atexit.
_SOURCE = """
import atexit
import os
import sys
import time

PATH = {path!r}
SECONDS = {seconds!r}
QUIET = "KINETO_LOG_LEVEL"


def traced(profiler):
    def stop():
        try:
            profiler.stop()
        except Exception:
            pass

    atexit.register(stop)
    profiler.start()
    return stop


def run():
    torch = sys.modules.get("torch")
    module = sys.modules.get("torch.profiler")
    if torch is None or module is None:
        return repr({{"error": "it has not loaded torch"}})
    try:
        config = module._ExperimentalConfig(profile_all_threads=True)
    except (AttributeError, TypeError):
        return repr({{"error": "torch " + torch.__version__ + " cannot profile all threads from one"}})
    kinds = [module.ProfilerActivity.CPU]
    if torch.cuda.is_initialized():
        kinds.append(module.ProfilerActivity.CUDA)
    loud = QUIET not in os.environ
    if loud:
        os.environ[QUIET] = "6"
    try:
        for seconds in (0.01, SECONDS):
            profiler = module.profile(activities=kinds, experimental_config=config)
            stop = traced(profiler)
            time.sleep(seconds)
            profiler.stop()
            atexit.unregister(stop)
        profiler.export_chrome_trace(PATH)
    finally:
        if loud:
            os.environ.pop(QUIET, None)
    return repr({{"torch": torch.__version__}})
"""


def source(path: Path, seconds: float) -> str:
    """The code that traces the process for `seconds` into `path`; defines `run() -> str`."""
    return _SOURCE.format(path=str(path), seconds=seconds)


class _Told(msgspec.Struct):
    """What `run` answers, from inside a process that may want to deceive us."""

    torch: str | None = None
    error: str | None = None


def understood(pid: int, answer: str | None) -> None:
    """Reads what `run` answered.

    Raises:
        GpuDoctorError: it was not run in time, or could not trace.
    """
    if answer is None:
        raise GpuDoctorError(
            f"process {pid} did not get to profiling itself",
            cause="it did not give its interpreter to anybody in time",
        )
    try:
        told = read_answer(answer, _Told)
    except ValueError as error:
        raise GpuDoctorError(
            f"process {pid} did not say how it profiled itself", cause=str(error)
        ) from error
    if told.error is not None:
        raise GpuDoctorError(
            f"process {pid} could not profile itself",
            cause=printable(told.error[:_MOST_OF_AN_ERROR]),
        )
    if told.torch is None:
        raise GpuDoctorError(
            f"process {pid} did not say how it profiled itself", cause="it named no torch"
        )

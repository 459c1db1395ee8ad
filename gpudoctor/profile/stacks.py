"""Turns sampled Python stacks into time per function and per line of the user's code."""

from __future__ import annotations

import linecache
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from gpudoctor.model.profile import FunctionTime, LineTime
from gpudoctor.profile.session import SamplesSeen

_MOST = 100
_TORCH = "/torch/"
_IMPORT = "<frozen importlib"
_MARKS = (
    ("import", _IMPORT, ""),
    ("data", "torch/utils/data/", ""),
    ("optimizer", "torch/optim/", "step"),
    ("backward", "torch/autograd/__init__.py", "backward"),
)
# A call into C has no frame of its own: the line that makes it tells that it sleeps.
_SLEEPS = re.compile(r"\bsleep\(")
_WAITS = (
    ("/threading.py", ("wait", "acquire", "join", "_wait_for_tstate_lock")),
    ("/queue.py", ("get", "put")),
    ("/selectors.py", ("select",)),
    ("/socket.py", ("readinto", "accept", "create_connection", "getaddrinfo")),
    ("/ssl.py", ("read", "recv", "recv_into")),
    ("/subprocess.py", ("_try_wait", "wait", "_communicate")),
    ("/multiprocessing/connection.py", ("_recv", "wait", "_poll")),
    ("/multiprocessing/popen_fork.py", ("poll",)),
)
_NATIVE_WAITS = ("nanosleep", "clock_nanosleep", "select", "poll", "epoll_wait", "recv")
Function = tuple[str, str, int, bool]
Frames = Sequence[tuple[int, int]]


def functions(samples: SamplesSeen) -> tuple[FunctionTime, ...]:
    """Functions by their own time, the most costly first."""
    own: dict[int, float] = defaultdict(float)
    total: dict[int, float] = defaultdict(float)
    for weight, _, frames in samples.stacks:
        if frames:
            own[frames[0][0]] += weight
        for index in {index for index, _ in frames}:
            total[index] += weight
    best = sorted(total, key=lambda index: (-own[index], -total[index]))[:_MOST]
    return tuple(
        FunctionTime(
            name=samples.functions[index][0],
            source_line=f"{samples.functions[index][1]}:{samples.functions[index][2]}",
            self_seconds=own[index],
            total_seconds=total[index],
        )
        for index in best
    )


def lines(samples: SamplesSeen) -> tuple[LineTime, ...]:
    """Lines of the user's code by the time for which they were the innermost, the most costly first."""
    named: dict[tuple[str, int], str] = {}
    seconds: dict[tuple[str, int, str], list[float]] = defaultdict(lambda: [0.0] * 4)
    for weight, in_loop, frames in samples.stacks:
        at = next((i for i, (index, _) in enumerate(frames) if samples.functions[index][3]), None)
        if at is None:
            continue
        (name, file, *_), line = samples.functions[frames[at][0]], frames[at][1]
        # A comprehension is a function of its own before Python 3.12: the line alone tells lines apart.
        key = (file, line, _phase(samples.functions, frames, at, in_loop))
        named.setdefault((file, line), name)
        seconds[key][1] += weight
        if at == 0:
            seconds[key][0] += weight
        elif _TORCH in samples.functions[frames[at - 1][0]][1]:
            seconds[key][2] += weight
        if waits(samples.functions, frames):
            seconds[key][3] += weight
    best = sorted(seconds.items(), key=lambda item: -item[1][1])[:_MOST]
    return tuple(
        line_time(named[file, line], file, line, phase, times)
        for (file, line, phase), times in best
    )


def line_text(file: str, line: int) -> str:
    """A line of code, up to 200 characters; "" where it is not there, or not in a regular file: a session
    may come from somebody else, and name a pipe."""
    try:
        readable = Path(file).is_file()
    except (OSError, ValueError):
        return ""
    return linecache.getline(file, line).strip()[:200] if readable else ""


def line_time(name: str, file: str, line: int, phase: str, times: Sequence[float]) -> LineTime:
    """A line with its text; `times` are its own, its total, torch's and, where known, its waiting seconds."""
    return LineTime(
        source_line=f"{file}:{line}",
        function=name,
        phase=phase,
        self_seconds=times[0],
        total_seconds=times[1],
        torch_seconds=times[2],
        waiting_seconds=sum(times[3:]),
        text=line_text(file, line),
    )


def _phase(table: list[Function], frames: Frames, at: int, in_loop: bool) -> str:
    # A library that is being imported does nothing yet of what it is for.
    if any(_IMPORT in table[index][1] for index, _ in frames[:at]):
        return "import"
    for index, _ in frames:
        name, file, *_ = table[index]
        for phase, part, function in _MARKS:
            if part in file and function in name:
                return phase
    return "step" if in_loop else "start"


def waits(table: list[Function], frames: Frames) -> bool:
    """Whether the innermost of `frames` sleeps or waits for somebody else, as far as its name tells."""
    if not frames:
        return False
    (name, file, _, user), line = table[frames[0][0]], frames[0][1]
    if user:
        return _SLEEPS.search(line_text(file, line)) is not None
    # From Python 3.11 on the name says its class, too.
    last = name.partition("@")[0].rpartition(".")[2]
    if not file.endswith(".py"):
        return last.lstrip("_") in _NATIVE_WAITS
    return any(file.endswith(part) and last in names for part, names in _WAITS)

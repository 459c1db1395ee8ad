"""Python stacks of a running job and its workers, through py-spy in a process of its own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from gpudoctor.profile.session import SamplesSeen, ThreadSeen

RATE_HZ = 100
_PROCESS = re.compile(r'process (\d{1,9}):"(.*?)";(?=process \d+:"|thread \()', re.DOTALL)
# A command line, such as that of `python -c`, may have several lines.
_RECORD = re.compile(r"((?s:.*?)thread \(\d+\)[^\n]*) ([1-9]\d{0,14})(?:\n|\Z)")
_BETWEEN = re.compile(r'\n(?=process \d+:"|thread \()')
_THREAD = re.compile(r"thread \((\d{1,18})\)(?:: ([^;]*))?(?:;|$)")
_FRAME = re.compile(r"^(.*) \((.*?)(?::(\d{1,9}))?\)$")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python3\.\d+/|^<")
Frame = tuple[str, str, int]


def command(
    py_spy: str, pid: int, seconds: float, output: str, *, native: bool = False
) -> list[str]:
    """What to run. Idle threads are kept: a main thread that waits for data is the finding."""
    return [
        *(py_spy, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds)))),
        *("--rate", str(RATE_HZ), "--format", "raw", "--output", output),
        *("--idle", "--subprocesses", "--threads", "--full-filenames"),
        *(("--native",) if native else ()),
    ]


@dataclass(frozen=True, slots=True)
class Stack:
    """One line of py-spy's raw format: whose it is, its frames (leaf first), and how often it was seen."""

    pid: int
    process: str
    thread: int
    thread_name: str
    frames: tuple[Frame, ...]
    count: int

    @property
    def is_main(self) -> bool:
        """Whether it is of its process's main thread."""
        return self.pid == self.thread


def parse(text: str) -> list[Stack]:
    """The stacks of a raw recording; lines that are none are left out."""
    return [
        stack for line in _BETWEEN.split(text.rstrip("\n")) if (stack := _stack(line)) is not None
    ]


def _stack(line: str) -> Stack | None:
    record = _RECORD.match(line)
    if record is None:
        return None
    whole, count = record[1], record[2]
    at, pid, process = 0, 0, ""
    while found := _PROCESS.match(whole, at):
        pid, process, at = int(found[1]), found[2], found.end()
    thread = _THREAD.match(whole, at)
    if thread is None:
        return None
    frames = [_frame(part) for part in whole[thread.end() :].split(";") if part]
    return Stack(
        pid or int(thread[1]),
        process,
        int(thread[1]),
        thread[2] or "",
        tuple(frames[::-1]),
        int(count),
    )


def _frame(text: str) -> Frame:
    found = _FRAME.match(text)
    return (found[1], found[2], int(found[3] or 0)) if found else (text, "", 0)


def samples(stacks: Iterable[Stack], pid: int, seconds: float) -> SamplesSeen:
    """The stacks of the main thread of `pid`, which together fill `seconds`."""
    seen = [stack for stack in stacks if stack.pid == pid and stack.is_main]
    total = sum(stack.count for stack in seen)
    table: dict[tuple[str, str], int] = {}
    first_line: dict[int, int] = {}
    rows = []
    for stack in seen:
        frames = []
        for name, file, line in stack.frames:
            index = table.setdefault((name, file), len(table))
            first_line[index] = min(first_line.get(index, line), line)
            frames.append((index, line))
        rows.append((seconds * stack.count / total, True, frames))
    return SamplesSeen(
        interval_seconds=1 / RATE_HZ,
        samples=total,
        functions=[
            (name, file, first_line[index], is_user(file)) for (name, file), index in table.items()
        ],
        stacks=rows,
    )


def is_user(file: str) -> bool:
    """Whether a file belongs neither to Python nor to an installed package, by its path."""
    return bool(file) and _LIBRARY.search(file) is None


def threads(stacks: Iterable[Stack], pid: int, seconds: float) -> tuple[ThreadSeen, ...]:
    """All threads but the main one of `pid`, those of the job's workers included: where each mostly was."""
    groups: dict[tuple[int, int], list[Stack]] = defaultdict(list)
    for stack in stacks:
        if not (stack.pid == pid and stack.is_main):
            groups[stack.pid, stack.thread].append(stack)
    ordered = sorted(groups.values(), key=lambda group: (group[0].pid, group[0].thread))
    return tuple(_thread(group, seconds) for group in ordered)


def _thread(stacks: list[Stack], seconds: float) -> ThreadSeen:
    places: dict[tuple[str, str, int], int] = defaultdict(int)
    for stack in stacks:
        places[_place(stack)] += stack.count
    total = sum(places.values())
    (function, file, line), most = max(places.items(), key=lambda item: item[1])
    return ThreadSeen(
        pid=stacks[0].pid,
        process=stacks[0].process,
        name=stacks[0].thread_name,
        main=stacks[0].is_main,
        seconds=seconds,
        function=function,
        site=(file, line) if file else None,
        share=most / total,
    )


def _place(stack: Stack) -> Frame:
    # A forked worker still carries the line that started it at its root: what it does lies above that.
    frames = stack.frames
    for at, (name, file, _) in enumerate(frames):
        if name == "_worker_loop" and "torch/utils/data" in file:
            frames = frames[:at]
            break
    user = next((frame for frame in frames if is_user(frame[1])), None)
    return user or (stack.frames[0] if stack.frames else ("", "", 0))

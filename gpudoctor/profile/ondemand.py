"""Watches a job that already runs for some seconds, from outside, and leaves a session folder."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.profile import kineto, pyspy
from gpudoctor.profile.reach import Reach, children, reach, runs
from gpudoctor.profile.session import (
    FORMAT,
    EndSeen,
    PythonSeen,
    SamplesSeen,
    Session,
    StepsSeen,
    ThreadSeen,
    TorchSeen,
    WindowSeen,
)
from gpudoctor.profile.trace import read_trace

WINDOW_SECONDS = 0.5
_LOOK_S = 0.25
_GRACE_S = 30.0
_AFTER_INTERRUPT_S = 5.0
_STEP = "Optimizer.step#"


# Has process (pid) trace itself into a file for some seconds.
Tracer = Callable[[int, Path, float], None]


@dataclass(slots=True)
class _Watch:
    """What the watch gathers; `notes` say what could not be had."""

    notes: list[str] = field(default_factory=list)
    samples: SamplesSeen | None = None
    threads: tuple[ThreadSeen, ...] = ()
    child: subprocess.Popen[str] | None = None
    interrupted: bool = False
    window: WindowSeen = field(default_factory=lambda: WindowSeen("off"))
    memory: list[tuple[float, int]] = field(default_factory=list)


def watch(
    pid: int,
    seconds: float,
    folder: Path,
    *,
    stacks: bool = True,
    operators: bool = True,
    shapes: bool = False,
    enter: Tracer | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Watch process `pid` for `seconds`; session.json and trace.json are written to `folder`.

    Python stacks come from py-spy, operators from the process's own libkineto. `say` hears what is
    possible for this process and what is not. `enter` starts torch's profiler inside the process; it
    is asked only where libkineto cannot be.

    Ctrl-C ends the watch early, and what was seen until then is kept.

    Raises:
        GpuDoctorError: no such process, or neither of the two is possible.
    """
    way = reach(pid)
    _check_not_torchrun(way)
    entered = enter if operators and way.no_operators is not None and way.may_enter else None
    if entered is not None:
        way = replace(way, no_operators=None)
    stacks, operators = _possible(way, stacks, operators, say, entered is not None)
    found = _Watch(notes=list(_missing(way)))
    started_at, cpu, begun = time.time(), _main_thread_cpu(pid), time.monotonic()
    tracer = _tracer(way, shapes, entered)
    jobs = []
    if stacks:
        jobs.append(lambda: _stacks(way, seconds, folder, found))
    if operators:
        jobs.append(lambda: _operators(way, folder, tracer, found))
    if entered is not None:
        # Only one can hold a process at a time: py-spy waits until the visit is over.
        _together([jobs.pop()], pid, found, begun)
    if not found.interrupted:
        _together(jobs, pid, found, begun)
    if not runs(pid):
        found.notes.append("The job ended while it was watched.")
    wall, cpu_after = time.monotonic() - begun, _main_thread_cpu(pid)
    if found.samples is None and found.window.state != "done":
        raise GpuDoctorError(
            f"nothing could be seen of process {pid}", cause=" ".join(found.notes) or None
        )
    session = _session(way, found, started_at, wall)
    if cpu is not None and cpu_after is not None:
        session = msgspec.structs.replace(session, main_cpu_seconds=cpu_after - cpu)
    _write(session, folder)


def _check_not_torchrun(way: Reach) -> None:
    names = {Path(word).name for word in way.program[:4]}
    if not names & {"torchrun", "torch.distributed.run", "torch.distributed.launch"}:
        return
    ranks = children(way.pid)
    raise GpuDoctorError(
        f"process {way.pid} is torchrun, which only waits for its ranks",
        hint=f"Name one of them: {', '.join(map(str, ranks))}." if ranks else None,
    )


def _possible(
    way: Reach, stacks: bool, operators: bool, say: Callable[[str], None], entered: bool
) -> tuple[bool, bool]:
    say(f"Python stacks: {_answer(stacks, way.no_stacks, 'yes, by py-spy')}.")
    how = "by a profiler that is started inside of it" if entered else "by its own libkineto"
    say(f"Operators: {_answer(operators, way.no_operators, f'yes, {how}')}.")
    stacks, operators = stacks and way.no_stacks is None, operators and way.no_operators is None
    if not stacks and not operators:
        causes = dict.fromkeys(filter(None, (way.no_stacks, way.no_operators)))
        raise GpuDoctorError(
            f"process {way.pid} cannot be profiled", cause="; ".join(causes) or None
        )
    return stacks, operators


def _answer(wanted: bool, why_not: str | None, yes: str) -> str:
    if not wanted:
        return "not wanted"
    return yes if why_not is None else f"no, {why_not}"


def _missing(way: Reach) -> tuple[str, ...]:
    rows = (("Python stacks", way.no_stacks), ("operators", way.no_operators))
    return tuple(f"No {what}: {why}." for what, why in rows if why is not None)


def _together(jobs: list[Callable[[], None]], pid: int, found: _Watch, begun: float) -> None:
    """Runs the jobs beside each other, and looks at the process's memory meanwhile."""

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except GpuDoctorError as error:
            words = ": ".join(filter(None, (error.message, error.cause)))
            found.notes.append(words.rstrip(".") + ".")

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            size = _resident(pid)
            if size:
                found.memory.append((time.monotonic() - begun, size))
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        found.interrupted = True
        found.notes.append("The watch was interrupted.")
        if found.child is not None:
            # py-spy writes what it has; at a terminal it was interrupted, too.
            found.child.send_signal(signal.SIGINT)
        threads[0].join(_AFTER_INTERRUPT_S)


def _stacks(way: Reach, seconds: float, folder: Path, found: _Watch) -> None:
    raw = folder / "stacks.raw"
    command = pyspy.command(way.py_spy or "py-spy", way.pid, seconds, str(raw))
    begun = time.monotonic()
    try:
        found.child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        told = found.child.communicate(timeout=seconds + _GRACE_S)[1]
    except OSError as error:
        raise GpuDoctorError("py-spy could not be started", cause=error.strerror) from error
    except subprocess.TimeoutExpired as error:
        if found.child is not None:
            found.child.kill()
        raise GpuDoctorError("py-spy did not end", cause=str(error)) from error
    took = min(seconds, time.monotonic() - begun)
    if not raw.exists():
        words = told.strip().splitlines()
        raise GpuDoctorError("py-spy saw nothing", cause=words[-1] if words else None)
    seen = pyspy.parse(raw.read_text(encoding="utf-8", errors="replace"))
    if not seen:
        raise GpuDoctorError("py-spy saw nothing", cause="It wrote no stacks")
    found.samples = pyspy.samples(seen, way.pid, took)
    found.threads = pyspy.threads(seen, way.pid, took)


def _tracer(way: Reach, shapes: bool, enter: Tracer | None) -> Callable[[Path], None]:
    def by_kineto(path: Path) -> None:
        kineto.trace(
            way.pid,
            way.owner,
            path,
            window_seconds=WINDOW_SECONDS,
            shapes=shapes,
            socket_folder=way.socket_folder,
        )

    def by_entering(path: Path) -> None:
        if enter is None:
            return
        with kineto.folder_for(way.owner) as own:
            enter(way.pid, own / "trace.json", WINDOW_SECONDS)
            kineto.take(own / "trace.json", path, way.pid)

    return by_kineto if enter is None else by_entering


def _operators(way: Reach, folder: Path, tracer: Callable[[Path], None], found: _Watch) -> None:
    path = folder / "trace.json"
    tracer(path)
    trace = read_trace(path, way.pid)
    events = [*trace.host, *trace.device]
    if not events:
        raise GpuDoctorError("the trace is empty", cause="No operator ran while it was taken")
    length = (max(e.end for e in events) - min(e.ts for e in events)) * 1e-6
    steps = sum(event.name.startswith(_STEP) for event in trace.main)
    found.window = WindowSeen(
        state="done",
        # Where no optimizer stepped, as in inference, the whole window counts as one step.
        steps=max(1, steps),
        plain_step_seconds=length / max(1, steps),
        seconds=length,
        device=bool(trace.device),
        ended="done",
        trace=path.name,
    )


def _session(way: Reach, found: _Watch, started_at: float, wall: float) -> Session:
    return Session(
        format=FORMAT,
        pid=way.pid,
        program=way.program,
        cwd=way.cwd,
        python=PythonSeen(way.python_version or "?", way.executable),
        started_at=started_at,
        wall_seconds=wall,
        held_up_seconds=0.0,
        ended=EndSeen("watched"),
        steps=StepsSeen(),
        batches=StepsSeen(),
        optimizers=(),
        loaders=(),
        window=found.window,
        growth=(),
        memory=found.memory,
        torch=None if way.torch_version is None else TorchSeen(version=way.torch_version),
        samples=found.samples,
        threads=found.threads,
        notes=tuple(found.notes),
    )


def _write(session: Session, folder: Path) -> None:
    path = folder / "session.json"
    try:
        replace_file(path, msgspec.json.encode(session))
    except OSError as error:
        raise GpuDoctorError(f"{path} cannot be written", cause=error.strerror) from error


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _main_thread_cpu(pid: int) -> float | None:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None

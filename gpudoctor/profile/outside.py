"""Samples a program that gpudoctor starts from outside, through py-spy: native frames and workers too."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.model.codec import decode
from gpudoctor.profile import pyspy
from gpudoctor.profile.reach import search_path, why_no_stacks
from gpudoctor.profile.session import SamplesSeen, Session, read_session, regular
from gpudoctor.profile.workers import PATTERN, WorkerSeen, read_workers

FILE = "stacks.py-spy.json"
# What py-spy keeps grows with every look: afterwards nobody looks any more.
MOST_SECONDS = 600
_ATTACH_S = 10.0
_END_S = 30.0
_NAME = re.compile(r'(?:Process (\d+) )?Thread (\d+)(?: "(.*)")?', re.DOTALL)
_HEAD = re.compile(r"(?:process|thread) \(?\d")
_RUNNER = "/gpudoctor/runner/"
_NATIVE = re.compile(r"\.(?:so(?:\.[\d.]+)?|c|cc|cpp|cxx|h|hpp|cu|cuh|rs|pyx|S)$|/bin/[^/]+$|^$")
_SCRIPTS = ("<string>", "<stdin>")


class _Frame(msgspec.Struct, frozen=True):
    name: str
    file: str | None = None
    line: int | None = None


class _Shared(msgspec.Struct, frozen=True):
    frames: list[_Frame]


class _Thread(msgspec.Struct, frozen=True):
    name: str
    samples: list[list[int]]


class Recording(msgspec.Struct, frozen=True):
    """What py-spy writes in speedscope's format: for each thread the stacks in their order, root first."""

    shared: _Shared
    profiles: list[_Thread]


@dataclass(slots=True)
class Outside:
    """py-spy beside a program. `gate` is the program's end of a line over which it waits for py-spy."""

    folder: Path
    native: bool = False
    why_not: str | None = None
    _ours: socket.socket | None = None
    gate: socket.socket | None = None
    _thread: threading.Thread | None = None
    _child: subprocess.Popen[bytes] | None = None

    def open(self) -> int:
        """The descriptor that the program is to be given."""
        self._ours, self.gate = socket.socketpair()
        self._ours.settimeout(_ATTACH_S)
        return self.gate.fileno()

    def started(self, pid: int) -> None:
        """The program runs as `pid`: let py-spy attach as soon as its interpreter is there."""
        if self.gate is not None:
            self.gate.close()
        assert self._ours is not None, "the program was started before `open`"
        self._thread = threading.Thread(target=self.attach, args=(self._ours, pid), daemon=True)
        # As in `beside`: signals are the main thread's, which waits for them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def attach(self, line: socket.socket, pid: int) -> None:
        """Wait until process `pid` says on `line` that it is ready, look at it, and tell it whether we do."""
        with line:
            try:
                if line.recv(1) != b"r":
                    self.why_not = "the program ended before it could be looked at"
                    return
                self.why_not = why_no_stacks(pid) or self._record(pid)
                line.sendall(b"n" if self.why_not else b"y")
            except OSError as error:
                self.why_not = f"the program could not be waited for ({error.strerror or error})"

    def _record(self, pid: int) -> str | None:
        """Starts py-spy; what it says where it cannot look, None once it does."""
        py_spy = shutil.which("py-spy", path=search_path())
        command = pyspy.command(
            py_spy or "py-spy", pid, MOST_SECONDS, str(self.folder / FILE), native=self.native
        )
        command[command.index("raw")] = "speedscope"
        try:
            # In a session of its own, so that Ctrl-C at the terminal is the script's alone.
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"py-spy could not be started ({error.strerror})"
        words = _until_sampling(self._child)
        return None if words is None else f"py-spy says: {words}"

    def ended(self) -> None:
        """The program has ended: put what py-spy saw into its session, or say there why it saw nothing."""
        if self._thread is not None:
            self._thread.join(_ATTACH_S)
        if self._child is not None and self.why_not is None:
            try:
                self._child.communicate(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self.why_not = "py-spy did not end with the program"
        try:
            session = read_session(self.folder)
        except GpuDoctorError:
            return
        try:
            _write(self.folder / "session.json", self._filled(session))
        except GpuDoctorError as error:
            self.why_not = f"{error.message} ({error.cause})"

    def _filled(self, session: Session) -> Session:
        if self.why_not is None:
            try:
                recording = decode(regular(self.folder / FILE), Recording, what=FILE)
                return self._with(session, recording)
            except (OSError, GpuDoctorError) as error:
                self.why_not = f"what py-spy saw cannot be used ({error})"
            except (IndexError, ValueError):
                self.why_not = "what py-spy wrote makes no sense"
        note = f"Sampled from inside, not by py-spy: {self.why_not}."
        return msgspec.structs.replace(session, notes=(*session.notes, note))

    def _with(self, session: Session, recording: Recording) -> Session:
        seconds = min(session.wall_seconds, MOST_SECONDS)
        told = _fill_workers(self.folder, recording)
        notes = session.notes
        if session.wall_seconds > MOST_SECONDS:
            notes = (*notes, f"py-spy looked for the first {MOST_SECONDS} s.")
        # What a DataLoader's workers did stands beside their own times.
        others = [stack for stack in _stacks(recording) if stack.pid not in told]
        return msgspec.structs.replace(
            session,
            samples=main_samples(recording, session.pid, seconds, session.loop_at_seconds),
            threads=pyspy.threads(others, session.pid, seconds),
            notes=notes,
        )


def _until_sampling(child: subprocess.Popen[bytes]) -> str | None:
    """Reads what py-spy says until it samples (None), or has ended (its last words)."""
    said = ""
    until = time.monotonic() + _ATTACH_S
    assert child.stdout is not None
    for raw in child.stdout:
        words = raw.decode("utf-8", "replace").strip()
        if "Sampling process" in words:
            return None
        said = words or said
        if time.monotonic() > until:
            break
    child.kill()
    return said or "nothing"


def main_samples(
    recording: Recording, pid: int, seconds: float, loop_at: float | None
) -> SamplesSeen:
    """The stacks of the main thread of `pid`, which together fill `seconds`; the loop begins `loop_at`."""
    rows = next((t.samples for t in recording.profiles if _whose(t.name)[:2] == (pid, pid)), [])
    frames = recording.shared.frames
    cut = [stack for row in rows if (stack := _script(frames, row))]
    weight = seconds / len(cut) if cut else 0.0
    begun = len(cut) if loop_at is None else loop_at / weight if weight else 0
    return _samples(frames, [(stack, at >= begun) for at, stack in enumerate(cut)], weight)


def _samples(
    frames: Sequence[_Frame], rows: Sequence[tuple[tuple[int, ...], bool]], weight: float
) -> SamplesSeen:
    counts: dict[tuple[tuple[int, ...], bool], int] = defaultdict(int)
    for row in rows:
        counts[row] += 1
    table: dict[tuple[str, str], int] = {}
    first: dict[int, int] = {}
    stacks = []
    for (stack, looping), count in counts.items():
        places = []
        for number in stack:
            frame = frames[number]
            index = table.setdefault((frame.name, frame.file or ""), len(table))
            line = frame.line or 0
            first[index] = min(first.get(index, line), line)
            places.append((index, line))
        stacks.append((weight * count, looping, places))
    functions = [
        (name, file, first[index], file in _SCRIPTS or is_user(file))
        for (name, file), index in table.items()
    ]
    return SamplesSeen(1 / pyspy.RATE_HZ, len(rows), functions, stacks)


def is_user(file: str) -> bool:
    """Whether a file is Python of the user's own, by its path."""
    return _NATIVE.search(file) is None and pyspy.is_user(file) and _RUNNER not in file


def _script(frames: Sequence[_Frame], row: Sequence[int]) -> tuple[int, ...]:
    """A stack of the script's main thread, leaf first, without the runner below and above it."""
    own = [at for at, number in enumerate(row) if _RUNNER in (frames[number].file or "")]
    if any(frames[row[at]].name.endswith("_hold_up") for at in own):
        return ()
    root = max((at for at in own if frames[row[at]].name == "main"), default=-1)
    if root < 0:
        # The interpreter starts or ends: the script does not run.
        return ()
    kept = [row[at] for at in range(root + 1, len(row)) if at not in own]
    return tuple(number for number in kept[::-1] if not _HEAD.match(frames[number].name))


def _whose(name: str) -> tuple[int, int, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        return -1, -1, ""
    return int(found[1] or found[2]), int(found[2]), found[3] or ""


def _stacks(recording: Recording) -> Iterator[pyspy.Stack]:
    frames = recording.shared.frames
    for thread in recording.profiles:
        pid, number, name = _whose(thread.name)
        counts: dict[tuple[int, ...], int] = defaultdict(int)
        for row in thread.samples:
            counts[tuple(row)] += 1
        for stack, count in counts.items():
            places = tuple(
                (frames[one].name, frames[one].file or "", frames[one].line or 0)
                for one in stack[::-1]
                if not _HEAD.match(frames[one].name)
            )
            yield pyspy.Stack(pid, "", number, name, places, count)


def _fill_workers(folder: Path, recording: Recording) -> set[int]:
    """Gives each DataLoader worker that wrote about itself the stacks that py-spy saw of it; their PIDs."""
    rows = {
        whose[0]: t.samples for t in recording.profiles if (whose := _whose(t.name))[0] == whose[1]
    }
    for seen in read_workers(folder):
        if seen.pid in rows:
            path = folder / PATTERN.replace("*", str(seen.pid))
            _write(path, _with_samples(seen, recording.shared.frames, rows[seen.pid]))
    return set(rows) & {seen.pid for seen in read_workers(folder)}


def _with_samples(
    seen: WorkerSeen, frames: Sequence[_Frame], rows: Sequence[Sequence[int]]
) -> WorkerSeen:
    cut = [(_from_worker_loop(frames, row), False) for row in rows]
    samples = _samples(frames, [one for one in cut if one[0]], 1 / pyspy.RATE_HZ)
    return msgspec.structs.replace(seen, samples=samples)


def _from_worker_loop(frames: Sequence[_Frame], row: Sequence[int]) -> tuple[int, ...]:
    at = next((i for i, number in enumerate(row) if frames[number].name == "_worker_loop"), None)
    return () if at is None else tuple(row[at:][::-1])


def _write(path: Path, body: Session | WorkerSeen) -> None:
    try:
        replace_file(path, msgspec.json.encode(body))
    except OSError as error:
        raise GpuDoctorError(f"{path} cannot be written", cause=error.strerror) from error

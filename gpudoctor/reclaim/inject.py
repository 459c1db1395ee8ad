"""The only one to enter another process: has a thread of its own run some code there, at most once.

The target's main thread is stopped for well under a millisecond, and only ever to do one of two safe
things. Where it waits in a system call outside the interpreter lock, it starts a native thread. Where
it runs Python code, it queues a pending call, which starts that thread between two bytecodes. The new
thread waits for the interpreter lock by itself, so nobody has to wait for it inside the tracer, and
claims the code with one atomic instruction, so that two starts still run it once.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gpudoctor.errors import ExitCode, GpuDoctorError
from gpudoctor.host.proc_files import read_stat
from gpudoctor.model.injection import Visit, VisitEnd
from gpudoctor.reclaim.entrance import PROC, Entrance
from gpudoctor.reclaim.ptrace import (
    NoRoomError,
    PtraceError,
    Stopped,
    TargetEndedError,
    read_memory,
    write_memory,
)

TIMEOUT_S = 30.0
_RETRY_S = 0.25
_PAGE = 4096
_TEXT_AT = 0x100
_ANSWER_ROOM = 65_536
_STATE_NEW, _STATE_STARTED, _STATE_DONE, _STATE_CANCELLED = range(4)
_READ_WRITE, _READ_EXECUTE, _PRIVATE_ANONYMOUS, _WIPE_ON_FORK = 3, 5, 0x22, 18
_CALLED_BY_THREAD = (
    "PyGILState_Ensure",
    "PyRun_SimpleString",
    "PyGILState_Release",
    "pthread_self",
    "pthread_detach",
)
# Runs `source` with an empty namespace and leaves the text that its `run()` returns in the block.
_WRAPPER = """\
def _visit():
    state = {state}
    try:
        names = {{}}
        exec({source!r}, names)
        answer = names["run"]()
    except BaseException as error:
        answer = repr({{"error": type(error).__name__ + ": " + str(error)[:500]}})
    data = answer.encode("utf-8", "replace")[:{room}]
    def put(address, raw):
        try:
            with open("/proc/self/mem", "r+b", 0) as memory:
                memory.seek(address)
                memory.write(raw)
        except OSError:
            import ctypes
            ctypes.memmove(address, raw, len(raw))
    put({answer}, data)
    put({length}, len(data).to_bytes(8, "little"))
    put(state, b"\\x02")
_visit()
"""


@dataclass(slots=True)
class _Visitor:
    way_in: Entrance
    source: str
    block: int = 0
    text_room: int = 0
    queued: bool = False
    started: bool = False
    stopped_s: float = 0.0
    way: str | None = None
    last_futex: tuple[int, ...] | None = field(default=None)

    @property
    def answer_at(self) -> int:
        return self.block + _TEXT_AT + self.text_room


def visit(
    way_in: Entrance,
    source: str,
    *,
    timeout_s: float = TIMEOUT_S,
    wanted: Callable[[], bool] = lambda: True,
) -> Visit:
    """Runs `source`, which must define `run() -> str`, once inside the process.

    When `wanted` begins to say no, the request is withdrawn as at its time-out.

    Raises:
        GpuDoctorError: the process could not be stopped or ended meanwhile; nothing ran.
    """
    visitor = _Visitor(way_in, source)
    begun = time.monotonic()
    try:
        end = _pursue(visitor, begun + timeout_s, wanted)
    except BaseException:
        # Ctrl-C while it waits for its turn: what nobody waits for any more must not run later.
        if visitor.block:
            with contextlib.suppress(GpuDoctorError):
                _cancel(visitor)
        raise
    answer = _answer(visitor) if end is VisitEnd.DONE else None
    took = time.monotonic() - begun
    return Visit(way_in.pid, end, answer, took, visitor.stopped_s, visitor.way)


def _pursue(visitor: _Visitor, until: float, wanted: Callable[[], bool]) -> VisitEnd:
    while True:
        if not visitor.started:
            _apart(lambda: _once(visitor))
        state = _poll(visitor, min(until, time.monotonic() + _RETRY_S))
        if state == _STATE_DONE:
            return VisitEnd.DONE
        if time.monotonic() >= until or not wanted():
            return _cancel(visitor)


def _apart(work: Callable[[], None]) -> None:
    """Does `work` in a thread of its own, with no signal to us in between, and raises what it raises.

    When that thread ends, the kernel lets go of whatever it still has stopped.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            failure.append(error)

    # To die while the target stands inside a borrowed call would take the target along.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread = threading.Thread(target=run, name="visit")
        thread.start()
        thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if failure:
        raise failure[0]


def _once(visitor: _Visitor) -> None:
    """One stop of the main thread: prepares the block, then starts the thread or queues the call."""
    way_in = visitor.way_in
    begun = time.monotonic()
    try:
        with Stopped(way_in.pid) as thread:
            begun = time.monotonic()
            _check_identity(way_in)
            waits = _waits(thread, visitor)
            if visitor.block == 0:
                _prepare(thread, visitor)
            if waits and _to_int(thread.call(way_in.functions["PyGILState_Check"])) == 0:
                _start_thread(thread, visitor)
            elif not visitor.queued:
                _queue_call(thread, visitor)
    except TargetEndedError as error:
        raise GpuDoctorError(f"process {way_in.pid} ended meanwhile") from error
    except NoRoomError:
        return
    except PtraceError as error:
        if visitor.block == 0 or not visitor.queued:
            raise _failed(way_in.pid, error) from error
    finally:
        visitor.stopped_s += time.monotonic() - begun


def _failed(pid: int, error: PtraceError) -> GpuDoctorError:
    hint = None
    if error.errno in (1, 13):
        hint = "A container needs --cap-add=SYS_PTRACE; elsewhere run it with sudo."
    return GpuDoctorError(
        f"process {pid} cannot be entered",
        cause=f"{error}. It goes on as before.",
        hint=hint,
        exit_code=ExitCode.UNAVAILABLE,
    )


def _check_identity(way_in: Entrance) -> None:
    stat = read_stat(PROC, way_in.pid)
    if stat is None or stat.start_ticks != way_in.start_ticks:
        raise PtraceError("its pid is another process's by now")


def _waits(thread: Stopped, visitor: _Visitor) -> bool:
    """Whether the thread sleeps in a system call, where it holds no lock of the memory allocator.

    A futex may be a wait of a moment for such a lock, so it must be seen twice, unchanged.
    """
    machine, registers = thread.machine, thread.registers
    read = functools.partial(read_memory, visitor.way_in.pid)
    number = machine.interrupted(registers, read)
    if number in machine.waiting:
        return True
    # The last system call's number tells nothing of a thread that is not in one.
    place = tuple(registers[name] for name in machine.place) if number == machine.futex else None
    again = place is not None and visitor.last_futex == place
    visitor.last_futex = place
    return again


def _prepare(thread: Stopped, visitor: _Visitor) -> None:
    functions, room = visitor.way_in.functions, thread.machine.code.room
    if _to_int(thread.call(functions["Py_IsInitialized"])) != 1:
        raise PtraceError("its Python is not (or no longer) running")
    # The lengths of the addresses vary, so the text gets room for the longest.
    draft = _text(visitor.source, 2**64 - 1, 2**64 - 1, 2**64 - 1)
    visitor.text_room = (len(draft) + 64) & ~15
    size = room + _TEXT_AT + visitor.text_room + _ANSWER_ROOM
    size = (size + _PAGE - 1) & ~(_PAGE - 1)
    arguments = (0, size, _READ_WRITE, _PRIVATE_ANONYMOUS, 2**64 - 1, 0)
    code = thread.call(functions["mmap"], arguments)
    if code >= 2**64 - 4096:
        raise PtraceError("it got no memory for the visit")
    block = code + room
    pid = visitor.way_in.pid
    write_memory(pid, code, thread.machine.code.text)
    text = _text(visitor.source, block, block + 8, block + _TEXT_AT + visitor.text_room)
    write_memory(pid, block, _block(functions) + text + b"\0")
    if _to_int(thread.call(functions["mprotect"], (code, room, _READ_EXECUTE))) != 0:
        raise PtraceError("its security policy forbids new code (SELinux execmem, or the like)")
    data_size = size - room
    if _to_int(thread.call(functions["madvise"], (block, data_size, _WIPE_ON_FORK))) != 0:
        raise PtraceError("its kernel is older than 4.14")
    visitor.block = block


def _text(source: str, state: int, length: int, answer: int) -> bytes:
    wrapped = _WRAPPER.format(
        source=source, state=state, length=length, answer=answer, room=_ANSWER_ROOM
    )
    # One expression with a namespace of its own leaves no name behind in __main__.
    return f"exec({wrapped!r}, {{}})\n".encode()


def _block(functions: dict[str, int]) -> bytes:
    pointers = (functions[name] for name in _CALLED_BY_THREAD)
    head = struct.pack("<BBHIQ5QQQ", 0, 0, 0, 0, 0, *pointers, 0, functions["pthread_create"])
    return head.ljust(_TEXT_AT, b"\0")


def _start_thread(thread: Stopped, visitor: _Visitor) -> None:
    code = visitor.block - thread.machine.code.room
    arguments = (visitor.block + 0x38, 0, code, visitor.block)
    failed = _to_int(thread.call(visitor.way_in.functions["pthread_create"], arguments))
    if failed:
        raise PtraceError("it could not start a thread", failed)
    visitor.started, visitor.way = True, "thread"


def _queue_call(thread: Stopped, visitor: _Visitor) -> None:
    machine_code = thread.machine.code
    code = visitor.block - machine_code.room + machine_code.pending_at
    function = visitor.way_in.functions["Py_AddPendingCall"]
    # -1: its queue is full just now, so the next stop tries again.
    if _to_int(thread.call(function, (code, visitor.block))) == 0:
        visitor.queued, visitor.way = True, "pending call"


def _to_int(register: int) -> int:
    """The C int in a 64-bit register."""
    low = register & 0xFFFFFFFF
    return low - 2**32 if low >= 2**31 else low


def _poll(visitor: _Visitor, until: float) -> int:
    pause = 0.0005
    while True:
        state = _read(visitor, visitor.block, 1)[0] if visitor.block else _STATE_NEW
        if state == _STATE_DONE or time.monotonic() >= until:
            return state
        if state == _STATE_STARTED:
            visitor.started = True
        time.sleep(min(pause, max(0.0, until - time.monotonic())))
        pause = min(pause * 1.5, 0.02)


def _read(visitor: _Visitor, address: int, size: int) -> bytes:
    try:
        return read_memory(visitor.way_in.pid, address, size)
    except PtraceError as error:
        raise GpuDoctorError(f"process {visitor.way_in.pid} ended meanwhile") from error


def _cancel(visitor: _Visitor) -> VisitEnd:
    """Withdraws the request: whoever claims it from now on sees the mark, and runs nothing."""
    if visitor.block == 0:
        return VisitEnd.CANCELLED
    try:
        write_memory(visitor.way_in.pid, visitor.block + 1, b"\x01")
    except PtraceError as error:
        raise GpuDoctorError(f"process {visitor.way_in.pid} ended meanwhile") from error
    state = _read(visitor, visitor.block, 1)[0]
    if state == _STATE_DONE:
        return VisitEnd.DONE
    return VisitEnd.UNFINISHED if state == _STATE_STARTED else VisitEnd.CANCELLED


def _answer(visitor: _Visitor) -> str:
    # The process could have written any number there.
    length = min(int.from_bytes(_read(visitor, visitor.block + 8, 8), "little"), _ANSWER_ROOM)
    return _read(visitor, visitor.answer_at, length).decode("utf-8", "replace")

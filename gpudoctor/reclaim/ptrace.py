"""Stops one thread of another process, has it call functions, and lets it go on as if nothing was.

All methods of one Stopped must be called in one thread: the kernel ties a tracee to
the thread that seized it, and releases it when that thread ends.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import signal
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from gpudoctor.host.proc_files import parse_status, read_text
from gpudoctor.reclaim.architecture import Architecture
from gpudoctor.reclaim.machines import here

_SEIZE, _INTERRUPT, _DETACH, _CONT = 0x4206, 0x4207, 17, 7
_GETREGSET, _SETREGSET = 0x4204, 0x4205
_GETSIGMASK, _SETSIGMASK = 0x420A, 0x420B
_NT_PRSTATUS = 1
_EVENT_STOP = 128
_WALL = 0x40000000
_VECTOR_ROOM = 65_536
# Below the stack pointer a function may keep 128 bytes without telling.
_RED_ZONE = 128
_NO_SYSCALL = b"\xff" * 4
# Every signal waits, but for the one by which the called function's return is noticed.
_ALL_BUT_SEGV = struct.pack("<Q", 2**64 - 1 & ~(1 << (signal.SIGSEGV - 1)))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class PtraceError(Exception):
    """A step did not work. `errno` is the kernel's reason, 0 where it is ours."""

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(f"{text}: {os.strerror(number)}" if number else text)
        self.errno = number


class TargetEndedError(PtraceError):
    """The process ended meanwhile."""


class NoRoomError(PtraceError):
    """The thread stands at the very end of its stack; a moment later it may not."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Stopped:
    """A stopped thread. Use as a context manager: leaving it restores all and lets the thread go on."""

    def __init__(self, tid: int, *, limit_s: float = 2.0) -> None:
        self.tid = tid
        self._limit_s = limit_s
        self.machine = _machine()
        self._called = False
        _ptrace("PTRACE_SEIZE", _SEIZE, tid)
        _ptrace("PTRACE_INTERRUPT", _INTERRUPT, tid)
        self._await_stop()
        self._saved = self._get(_NT_PRSTATUS, self.machine.size)
        self._vector_set, self._vector_state = self._vectors()
        self._mask = ctypes.create_string_buffer(8)
        _ptrace("PTRACE_GETSIGMASK", _GETSIGMASK, tid, 8, ctypes.addressof(self._mask))
        self.registers = self.machine.unpack(self._saved)

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._set(self._vector_set, self._vector_state)
            self._set(_NT_PRSTATUS, self._left())
            self._set_mask(self._mask.raw)
            _ptrace("PTRACE_DETACH", _DETACH, self.tid)
        except TargetEndedError:
            return

    def call(self, function: int, arguments: Sequence[int] = ()) -> int:
        """Calls `function` in the thread and gives its result.

        Raises:
            PtraceError: it faulted or took longer than the limit; the thread is as it was before.
        """
        machine = self.machine
        frame = self._frame(self.registers[machine.stack])
        registers = machine.called(self.registers, function, arguments, frame)
        self._called = True
        self._set_mask(_ALL_BUT_SEGV)
        self._set(_NT_PRSTATUS, machine.pack(registers))
        if machine.call_set is not None:
            self._set(machine.call_set, _NO_SYSCALL)
        _ptrace("PTRACE_CONT", _CONT, self.tid)
        try:
            return self._result()
        finally:
            self._set(_NT_PRSTATUS, self._saved)

    def _left(self) -> bytes:
        """The registers with which the thread goes on: as it was, but for a signal that came."""
        ended = self.machine.ended_by_signal
        if ended is None or not self._called or not self._signal_waits():
            return self._saved
        return self.machine.pack(ended(self.registers, functools.partial(read_memory, self.tid)))

    def _signal_waits(self) -> bool:
        """Whether a signal waits for which the thread has a handler, and which it does not block."""
        status = parse_status(read_text(Path(f"/proc/{self.tid}/status")) or "")
        waiting = int(status.get("SigPnd", "0"), 16) | int(status.get("ShdPnd", "0"), 16)
        blocked = int.from_bytes(self._mask.raw, "little")
        return bool(waiting & int(status.get("SigCgt", "0"), 16) & ~blocked)

    def _frame(self, pointer: int) -> int:
        """Where a called function's stack begins, with 0 as the address to which it returns
        where that lies on the stack.

        The stack grows when the thread itself touches it and not for us, so the nearer place is tried
        where the farther one is not there yet.
        """
        for distance in (4 * _RED_ZONE, _RED_ZONE):
            frame = self.machine.frame(pointer, distance)
            try:
                write_memory(self.tid, frame, bytes(8))
            except PtraceError as error:
                if error.errno != errno.EFAULT:
                    raise
            else:
                return frame
        raise NoRoomError("its stack has no room just now", errno.EFAULT)

    def _result(self) -> int:
        until, interrupted = time.monotonic() + self._limit_s, False
        while True:
            status = self._wait(until)
            if status is None and interrupted:
                raise PtraceError("a call inside it did not return and could not be stopped")
            if status is None:
                _ptrace("PTRACE_INTERRUPT", _INTERRUPT, self.tid)
                until, interrupted = time.monotonic() + self._limit_s, True
                continue
            if status >> 16 == _EVENT_STOP:
                if interrupted:
                    raise PtraceError("a call inside it did not return in time")
                _ptrace("PTRACE_CONT", _CONT, self.tid)
                continue
            now = self.machine.unpack(self._get(_NT_PRSTATUS, self.machine.size))
            if os.WSTOPSIG(status) == signal.SIGSEGV and now[self.machine.counter] == 0:
                return now[self.machine.result]
            name = signal.Signals(os.WSTOPSIG(status)).name
            raise PtraceError(f"a call inside it failed with {name}")

    def _await_stop(self) -> None:
        until = time.monotonic() + self._limit_s
        while True:
            status = self._wait(until)
            if status is None:
                # Only the end of our thread releases a thread that does not stop.
                raise PtraceError("it did not stop")
            if status >> 16 == _EVENT_STOP:
                return
            # A signal came first: it is delivered, and the stop follows before its handler runs.
            _ptrace("PTRACE_CONT", _CONT, self.tid, 0, os.WSTOPSIG(status))

    def _vectors(self) -> tuple[int, bytes]:
        """The vector registers, as the first of the register sets that the processor has."""
        *better, last = self.machine.vector_sets
        for kind in better:
            try:
                return kind, self._get(kind, _VECTOR_ROOM)
            except TargetEndedError:
                raise
            except PtraceError:
                continue
        return last, self._get(last, _VECTOR_ROOM)

    def _wait(self, until: float) -> int | None:
        """The wait status of the next stop, None when `until` passes first."""
        pause = 20e-6
        while True:
            try:
                pid, status = os.waitpid(self.tid, os.WNOHANG | _WALL)
            except ChildProcessError as error:
                raise TargetEndedError("it ended") from error
            if pid and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                raise TargetEndedError("it ended")
            if pid:
                return status
            if time.monotonic() > until:
                return None
            time.sleep(pause)
            pause = min(pause * 1.5, 1e-3)

    def _get(self, kind: int, room: int) -> bytes:
        buffer = ctypes.create_string_buffer(room)
        vector = _Vector(ctypes.addressof(buffer), room)
        _ptrace("PTRACE_GETREGSET", _GETREGSET, self.tid, kind, ctypes.addressof(vector))
        return buffer.raw[: vector.length]

    def _set(self, kind: int, data: bytes) -> None:
        buffer = ctypes.create_string_buffer(data, len(data))
        vector = _Vector(ctypes.addressof(buffer), len(data))
        _ptrace("PTRACE_SETREGSET", _SETREGSET, self.tid, kind, ctypes.addressof(vector))

    def _set_mask(self, mask: bytes) -> None:
        buffer = ctypes.create_string_buffer(mask, 8)
        _ptrace("PTRACE_SETSIGMASK", _SETSIGMASK, self.tid, 8, ctypes.addressof(buffer))


def _machine() -> Architecture:
    machine = here()
    if machine is None:
        raise PtraceError(f"no registers are known of {os.uname().machine}")
    return machine


def _ptrace(name: str, request: int, tid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise TargetEndedError(name, number)
        raise PtraceError(name, number)


def _transfer(function: str, pid: int, address: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    ours = _Vector(ctypes.addressof(buffer), len(buffer))
    theirs = _Vector(address, len(buffer))
    call = getattr(_libc, function)
    call.restype = ctypes.c_ssize_t
    moved = call(
        ctypes.c_int(pid),
        ctypes.byref(ours),
        ctypes.c_ulong(1),
        ctypes.byref(theirs),
        ctypes.c_ulong(1),
        ctypes.c_ulong(0),
    )
    if moved != len(buffer):
        number = ctypes.get_errno() if moved < 0 else errno.EFAULT
        if number == errno.ESRCH:
            raise TargetEndedError(function, number)
        raise PtraceError(function, number)


def write_memory(pid: int, address: int, data: bytes) -> None:
    """Copies `data` into the process."""
    _transfer("process_vm_writev", pid, address, ctypes.create_string_buffer(data, len(data)))


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Copies `size` bytes out of the process."""
    buffer = ctypes.create_string_buffer(size)
    _transfer("process_vm_readv", pid, address, buffer)
    return buffer.raw

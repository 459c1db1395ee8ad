"""What differs between processors when a thread is borrowed: registers, call frames, code."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Registers = dict[str, int]
# Copies that many bytes from an address of the stopped process.
Reader = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Code:
    """The machine code of a visit. `text` begins with the thread's function.

    The block that its functions get begins with the state, the mark of withdrawal, the state of the
    interpreter lock at 4, at 16 the addresses of PyGILState_Ensure, PyRun_SimpleString,
    PyGILState_Release, pthread_self and pthread_detach, the thread's id, at 64 pthread_create, and at
    256 the source. `pending_at` is where the pending call begins, `room` how many bytes of memory
    the code gets, at least the largest page that the processor has.
    """

    text: bytes
    pending_at: int
    room: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor. `tested` is False where no process was ever entered on it.

    `fields` are the 64-bit registers of the kernel's NT_PRSTATUS in their order. Of `vector_sets` the
    first one is kept that the processor has. `call_set` is the register set of the number of the
    interrupted system call, where that is not one of `fields`. `ended_by_signal` gives the registers of a
    call that ends with EINTR, where the kernel does not see to that after the visit.
    """

    name: str
    tested: bool
    elf_machine: int
    fields: tuple[str, ...]
    arguments: tuple[str, ...]
    counter: str
    stack: str
    result: str
    place: tuple[str, ...]
    vector_sets: tuple[int, ...]
    call_set: int | None
    return_room: int
    waiting: frozenset[int]
    futex: int
    code: Code
    enter: Callable[[Registers, int, int], None]
    interrupted: Callable[[Registers, Reader], int | None]
    ended_by_signal: Callable[[Registers, Reader], Registers] | None

    @property
    def size(self) -> int:
        """The bytes of NT_PRSTATUS."""
        return 8 * len(self.fields)

    def unpack(self, raw: bytes) -> Registers:
        """The registers by name."""
        return dict(zip(self.fields, struct.unpack(f"<{len(self.fields)}Q", raw), strict=True))

    def pack(self, registers: Registers) -> bytes:
        """The registers as the kernel takes them."""
        values = (registers[name] for name in self.fields)
        return struct.pack(f"<{len(self.fields)}Q", *values)

    def frame(self, pointer: int, distance: int) -> int:
        """The stack pointer of a called function, `distance` bytes or more below `pointer`."""
        return ((pointer - distance) & ~15) - self.return_room

    def called(
        self, registers: Registers, function: int, arguments: Sequence[int], frame: int
    ) -> Registers:
        """The registers with which the thread runs `function`, which then returns to address 0."""
        changed = dict(registers)
        changed.update(zip(self.arguments, arguments, strict=False))
        self.enter(changed, function, frame)
        return changed

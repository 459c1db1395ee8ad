"""x86-64: registers, calls and machine code."""

from __future__ import annotations

from gpudoctor.reclaim.architecture import Architecture, Code, Reader, Registers

_NT_X86_XSTATE = 0x202
_NO_SYSCALL = 2**64 - 1
_TRAP_AND_DIRECTION = 0x100 | 0x400
# -EINTR and the kernel's own codes for a call that it will begin again.
_INTERRUPTED = frozenset(2**64 - code for code in (4, 512, 513, 514, 516))
# pthread_detach(pthread_self()); g = PyGILState_Ensure();
# if (state: 0 -> 1 atomically) { if (!cancel) PyRun_SimpleString(text); else state = 3; }
# PyGILState_Release(g). Its one argument, kept in rbx, is the block.
_THREAD = bytes.fromhex(
    "53 4889fb ff5328 4889c7 ff5330 ff5310 894304 31c0 b901000000 f00fb00b 7515 807b0100 750c"
    "488dbb00010000 ff5318 eb03 c60303 8b7b04 ff5320 31c0 5b c3 90"
)
# The pending call: if (block.create) block.create(&block.thread, NULL, thread, block); return 0.
# A child forked before the call's turn comes inherits the call, but finds the block wiped.
_PENDING = bytes.fromhex(
    "53 4889fb 488d7b38 31f6 488d15afffffff 4889d9 488b4340 4885c0 7402 ffd0 31c0 5b c3"
)
# read, poll, select, nanosleep, accept, recv, wait, epoll and their kin; then the writing ones.
_WAITING = frozenset({0, 7, 17, 19, 23, 35, 42, 43, 45, 47, 61, 128, 130, 230, 232, 247, 270, 271})
_WAITING |= frozenset({1, 20, 34, 44, 46, 281, 288, 299, 441, 449})


def _enter(registers: Registers, function: int, frame: int) -> None:
    # Without -1 here the kernel would take our frame for the system call that it interrupted.
    registers |= {"rip": function, "rsp": frame, "rax": 0, "orig_rax": _NO_SYSCALL}
    registers["eflags"] &= ~_TRAP_AND_DIRECTION


def _interrupted(registers: Registers, _: Reader) -> int | None:
    return registers["orig_rax"] if registers["rax"] in _INTERRUPTED else None


X86_64 = Architecture(
    name="x86_64",
    tested=True,
    elf_machine=62,
    fields=(
        *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
        *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base"),
        *("ds", "es", "fs", "gs"),
    ),
    arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    counter="rip",
    stack="rsp",
    result="rax",
    place=("rip", "rsp", "rdi", "orig_rax"),
    vector_sets=(_NT_X86_XSTATE,),
    call_set=None,
    return_room=8,
    waiting=_WAITING,
    futex=202,
    code=Code(_THREAD + _PENDING, pending_at=len(_THREAD), room=4096),
    enter=_enter,
    interrupted=_interrupted,
    ended_by_signal=None,
)

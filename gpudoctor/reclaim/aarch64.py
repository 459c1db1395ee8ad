"""aarch64: registers, calls and machine code. Tested in an emulator with Debian's kernel, not on hardware.

Unlike on x86-64, the kernel has already decided about an interrupted system call when the thread stops:
it stands at the instruction that begins the call again. So a relative nanosleep is begun again in full,
and EINTR for a signal that comes during the visit is ours to give. A thread in SME's streaming mode
must not be borrowed at all, which is not checked yet.
"""

from __future__ import annotations

from gpudoctor.reclaim.architecture import Architecture, Code, Reader, Registers

_NT_PRFPREG, _NT_ARM_SYSTEM_CALL, _NT_ARM_SVE = 2, 0x404, 0x405
_SVC = (0xD4000001).to_bytes(4, "little")
_EINTR = 2**64 - 4
# Single step, and the kind of branch that BTI checks.
_STEP_AND_BRANCH_TYPE = 1 << 21 | 3 << 10
# As on x86-64; the block is kept in x19. The barrier (dmb ish) stands between the claim and the look
# at the mark of withdrawal, which a processor of this kind would otherwise read first.
_THREAD = bytes.fromhex(
    "fd7bbea9 fd030091 f30b00f9 f30300aa 681640f9 00013fd6 681a40f9 00013fd6 680a40f9 00013fd6"
    "600600b9 69fe5f08 a9010035 2a008052 6afe0b08 8bffff35 bf3b03d5 69064039 a9000035 60020491"
    "680e40f9 00013fd6 03000014 69008052 69020039 600640b9 681240f9 00013fd6 000080d2 f30b40f9"
    "fd7bc2a8 c0035fd6"
)
_PENDING = bytes.fromhex(
    "fd7bbfa9 fd030091 082040f9 c80000b4 e30300aa 00e00091 010080d2 22fbff10 00013fd6 00008052"
    "fd7bc1a8 c0035fd6"
)
# The same calls as on x86-64, where this processor has them.
_WAITING = frozenset({63, 65, 67, 72, 73, 101, 115, 95, 260, 22, 441, 133, 137})
_WAITING |= frozenset({202, 242, 203, 207, 212, 243, 64, 66, 206, 211, 449})


def _enter(registers: Registers, function: int, frame: int) -> None:
    registers |= {"pc": function, "sp": frame, "x30": 0}
    registers["pstate"] &= ~_STEP_AND_BRANCH_TYPE


def _interrupted(registers: Registers, read: Reader) -> int | None:
    """The call at whose instruction the thread stands, or that has just ended with EINTR.

    A thread that is stopped right before it makes the call is as good: it holds no other locks.
    """
    counter = registers["pc"]
    code = read(counter - 4, 8)
    if code[4:] == _SVC or (code[:4] == _SVC and registers["x0"] == _EINTR):
        return registers["x8"]
    return None


def _ended_by_signal(registers: Registers, read: Reader) -> Registers:
    if read(registers["pc"], 4) != _SVC:
        return registers
    return registers | {"pc": registers["pc"] + 4, "x0": _EINTR}


AARCH64 = Architecture(
    name="aarch64",
    tested=False,
    elf_machine=183,
    fields=(*(f"x{number}" for number in range(31)), "sp", "pc", "pstate"),
    arguments=tuple(f"x{number}" for number in range(8)),
    counter="pc",
    stack="sp",
    result="x0",
    place=("pc", "sp", "x0", "x8"),
    vector_sets=(_NT_ARM_SVE, _NT_PRFPREG),
    call_set=_NT_ARM_SYSTEM_CALL,
    return_room=0,
    waiting=_WAITING,
    futex=98,
    # Kernels for this processor have pages of up to 64 KiB.
    code=Code(_THREAD + _PENDING, pending_at=len(_THREAD), room=65_536),
    enter=_enter,
    interrupted=_interrupted,
    ended_by_signal=_ended_by_signal,
)

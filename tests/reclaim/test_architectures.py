from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from gpudoctor.reclaim.aarch64 import AARCH64
from gpudoctor.reclaim.machines import KNOWN, why_not
from gpudoctor.reclaim.x86_64 import X86_64

SVC = bytes.fromhex("010000d4")
NOP = bytes.fromhex("1f2003d5")
ARM_TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
needs_arm = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ARM_TOOLS), reason="no cross compiler or emulator"
)
ARM_CALLS = Path("/usr/aarch64-linux-gnu/include/asm-generic/unistd.h")
X86_CALLS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
# x86-64 has calls for which aarch64 has only the more general one.
MORE_GENERAL = {
    "poll": "ppoll",
    "select": "pselect6",
    "epoll_wait": "epoll_pwait",
    "pause": "ppoll",
}


@pytest.mark.parametrize("machine", KNOWN.values(), ids=lambda one: one.name)
def test_registers_survive_being_unpacked_and_packed(machine):
    raw = bytes(range(256)) * 2
    raw = raw[: machine.size]
    assert machine.pack(machine.unpack(raw)) == raw


def test_a_call_on_aarch64_returns_to_zero_with_arguments_in_place():
    before = dict.fromkeys(AARCH64.fields, 7) | {"sp": 0x7FFF1238, "pstate": 0x80000C00 | 1 << 21}
    frame = AARCH64.frame(before["sp"], 128)
    after = AARCH64.called(before, 0x4000, (11, 12), frame)
    assert (after["x0"], after["x1"], after["x2"]) == (11, 12, 7)
    assert (after["pc"], after["x30"]) == (0x4000, 0)
    assert after["sp"] % 16 == 0
    assert after["sp"] <= before["sp"] - 128
    assert after["pstate"] == 0x80000000, "neither single step nor a checked branch is left"
    assert before["pc"] == 7, "what is put back later is untouched"


def test_a_call_on_x86_64_leaves_room_for_its_return_address():
    before = dict.fromkeys(X86_64.fields, 7) | {"rsp": 0x7FFF1238, "eflags": 0x746}
    after = X86_64.called(before, 0x4000, (11,), X86_64.frame(before["rsp"], 128))
    assert (after["rip"], after["rdi"], after["orig_rax"]) == (0x4000, 11, 2**64 - 1)
    assert after["rsp"] % 16 == 8
    assert after["eflags"] == 0x246


def interrupted(code: bytes, **registers: int) -> int | None:
    def read(address: int, size: int) -> bytes:
        assert (address, size) == (0x1000 - 4, 8)
        return code

    return AARCH64.interrupted({"pc": 0x1000, "x0": 0, "x8": 0, **registers}, read)


def test_on_aarch64_a_call_that_will_begin_again_is_seen_at_its_instruction():
    assert interrupted(NOP + SVC, x8=63) == 63


def test_on_aarch64_a_call_that_ended_with_eintr_is_seen_behind_its_instruction():
    assert interrupted(SVC + NOP, x8=22, x0=2**64 - 4) == 22


def test_on_aarch64_a_call_that_ended_otherwise_is_none():
    assert interrupted(SVC + NOP, x8=63, x0=5) is None
    assert interrupted(NOP + NOP, x8=63) is None


def test_on_aarch64_a_signal_during_the_visit_ends_the_call_with_eintr():
    def after(code: bytes) -> tuple[int, int]:
        ended = AARCH64.ended_by_signal
        assert ended is not None
        registers = ended({"pc": 0x1000, "x0": 3}, lambda _, size: code[:size])
        return registers["pc"], registers["x0"]

    assert after(SVC) == (0x1004, 2**64 - 4)
    assert after(NOP) == (0x1000, 3), "a thread that computes gets no error"


def numbers(header: Path) -> dict[str, int]:
    if not header.exists():
        pytest.skip(f"no {header}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    return {name: int(number) for name, number in found}


def test_both_processors_wait_in_the_same_system_calls():
    arm, x86 = numbers(ARM_CALLS), numbers(X86_CALLS)
    names = {name for name, number in x86.items() if number in X86_64.waiting}
    assert {arm[MORE_GENERAL.get(name, name)] for name in names} == AARCH64.waiting
    assert {name for name in arm if arm[name] == AARCH64.futex} == {"futex"}
    assert x86["futex"] == X86_64.futex


def test_a_processor_without_a_tested_way_in_is_refused_in_one_sentence():
    assert why_not("x86_64") is None
    assert why_not("aarch64") == (
        "the way into a process is tested on an emulated aarch64 only, not on a real one"
    )
    assert why_not("riscv64") == "no way into a process is written for riscv64"


@pytest.fixture(scope="module")
def harness(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("arm") / "harness"
    source = Path(__file__).with_name("aarch64_harness.c")
    command = ["aarch64-linux-gnu-gcc", "-static", "-O1", "-pthread", "-o", program, source]
    subprocess.run(command, check=True)
    return program


def told(harness: Path, *, cancel: int, way: str, starts: int) -> str:
    code = AARCH64.code
    words = [str(code.pending_at), str(code.room), str(cancel), way, str(starts)]
    done = subprocess.run(
        ["qemu-aarch64", harness, *words], input=code.text, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@needs_arm
@pytest.mark.integration
def test_the_thread_s_code_for_aarch64_runs_once_however_often_it_is_started(harness):
    assert told(harness, cancel=0, way="thread", starts=16) == (
        "state=1 ran=1 ensured=16 released=16 given=16 detached=16 returned=0"
    )


@needs_arm
@pytest.mark.integration
def test_the_pending_call_for_aarch64_starts_the_thread(harness):
    assert told(harness, cancel=0, way="pending", starts=2) == (
        "state=1 ran=1 ensured=2 released=2 given=2 detached=2 returned=0"
    )


@needs_arm
@pytest.mark.integration
def test_a_request_that_was_withdrawn_does_not_run_on_aarch64(harness):
    assert told(harness, cancel=1, way="thread", starts=2) == (
        "state=3 ran=0 ensured=2 released=2 given=2 detached=2 returned=0"
    )


@needs_arm
@pytest.mark.integration
def test_in_a_forked_child_the_wiped_block_starts_nothing_on_aarch64(harness):
    assert told(harness, cancel=0, way="wiped", starts=1) == (
        "state=0 ran=0 ensured=0 released=0 given=0 detached=0 returned=0"
    )


def test_the_functions_of_the_other_processor_s_elf_files_are_not_taken(tmp_path):
    from gpudoctor.reclaim.elf import Mapping, NotElfError, addresses

    library = tmp_path / "root/lib.so"
    library.parent.mkdir()
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, AARCH64.elf_machine)
    library.write_bytes(header.ljust(64, b"\0"))
    with pytest.raises(NotElfError, match="this processor"):
        addresses(tmp_path, Mapping(0x1000, "1000-2000", "/lib.so"), ("f",), X86_64.elf_machine)

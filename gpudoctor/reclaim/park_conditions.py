"""What must hold before a process is parked or brought back: pure functions of what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpudoctor.model.condition import Condition, Standing
from gpudoctor.model.lineage import Lineage
from gpudoctor.model.parked import Parked
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.snapshot import Device, Snapshot
from gpudoctor.reclaim.protection import Protection
from gpudoctor.units import data_size

OFFERED_FROM = 575
KNOWN_FROM = 570
_STATES = {
    "T": ("it is stopped, and its part of the checkpoint would not run", "kill -CONT {pid}"),
    "t": ("it is stopped by a debugger", "Detach the debugger first."),
    "D": ("it waits inside the kernel, where the driver cannot reach it", None),
    "Z": ("it has ended, and its parent has not noticed yet", None),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A process and what was seen around it. None where something may not be read.

    `library` is why the driver's library cannot be used, and what helps; None where it can.
    `is_thread`: the number names a thread of another process. `ranks` is WORLD_SIZE of its
    environment, `environment_read` whether that could be read. `holders_below` are descendants
    that have a GPU open, `headroom_bytes` the host memory that it may still take.
    """

    process: Lineage
    row: GpuProcess | None
    devices: tuple[Device, ...]
    driver: str | None
    machine: str
    is_thread: bool = False
    environment_read: bool = True
    ranks: int | None = None
    holders_below: tuple[int, ...] = ()
    headroom_bytes: int | None = None
    may_enter_all: bool = True
    guard: Protection | None = None
    mps_server: bool = False
    library: tuple[str, str | None] | None = None


def park_conditions(subject: Subject) -> tuple[Condition, ...]:
    """Everything that was looked at before parking, in the order in which it matters."""
    return (
        *_driver(subject),
        architecture_condition(subject.machine),
        *_process(subject),
        *_gpus(subject),
        _ranks(subject),
        _host_memory(subject),
        _rights(subject),
    )


def unpark_conditions(
    record: Parked, subject: Subject, snapshot: Snapshot
) -> tuple[Condition, ...]:
    """The same before bringing back: the process is able to, and the GPUs have room."""
    return (
        *_driver(subject),
        architecture_condition(subject.machine),
        *_process(subject),
        *_room(record, snapshot),
        _rights(subject),
    )


def _driver(subject: Subject) -> Iterator[Condition]:
    driver = driver_condition(subject.driver)
    yield driver
    # Of a driver that is too old this is no news.
    if subject.library is not None and driver.standing is not Standing.REFUSE:
        text, hint = subject.library
        yield Condition("library", Standing.REFUSE, text, hint)


def driver_condition(version: str | None) -> Condition:
    """Whether this driver has the checkpoint functions, and has them working for PyTorch."""
    number = (version or "").partition(".")[0]
    if not number.isdigit():
        text = "the driver does not tell its version"
        return Condition("driver", Standing.REFUSE, text)
    text = f"driver {version}"
    if int(number) < KNOWN_FROM:
        hint = f"Parking needs driver {OFFERED_FROM} or newer."
        return Condition("driver", Standing.REFUSE, f"{text} has no checkpoint functions", hint)
    if int(number) < OFFERED_FROM:
        return Condition(
            "driver",
            Standing.WARN,
            f"{text}: checkpoints of PyTorch programs are reported to fail before {OFFERED_FROM}",
            f"Update the driver to {OFFERED_FROM} or newer.",
        )
    return Condition("driver", Standing.OK, text)


def architecture_condition(machine: str) -> Condition:
    """NVIDIA documents checkpoints for x86-64 alone."""
    if machine == "x86_64":
        return Condition("architecture", Standing.OK, machine)
    text = f"this machine is {machine}; checkpoints are documented for x86-64 alone"
    return Condition("architecture", Standing.REFUSE, text)


def _process(subject: Subject) -> Iterator[Condition]:
    process, guard = subject.process, subject.guard
    pid = process.key.pid
    if guard is not None:
        yield Condition("protected", Standing.REFUSE, guard.text, guard.hint or None)
    if subject.is_thread:
        text = f"{pid} is a thread, not a process; the driver would take it for one"
        yield Condition("thread", Standing.REFUSE, text)
    why = _STATES.get(process.state)
    if why is not None:
        hint = why[1].format(pid=pid) if why[1] else None
        yield Condition("state", Standing.REFUSE, why[0], hint)
    elif process.tracer_pid is None:
        yield Condition("state", Standing.OK, "the process runs, and nobody debugs it")


def _gpus(subject: Subject) -> Iterator[Condition]:
    row = subject.row
    if row is None:
        text = "the driver lists no GPU memory of this process"
        yield Condition("gpu", Standing.REFUSE, text, "See `gpudoctor ps`.")
        return
    where = ", ".join(str(use.index) for use in row.gpus)
    yield Condition("gpu", Standing.OK, f"{data_size(row.memory_used_bytes)} on GPU {where}")
    kinds = {use.kind for use in row.gpus}
    if "graphics" in kinds:
        text = "it also draws: what it holds for graphics may stay on the GPU"
        yield Condition("graphics", Standing.WARN, text)
    yield _mps(subject, kinds)
    yield _mig(subject, row)
    yield _persistence(subject)
    if subject.holders_below:
        pids = ", ".join(str(pid) for pid in subject.holders_below)
        text = f"its children {pids} have the GPU open too, which can keep its memory taken"
        yield Condition("children", Standing.WARN, text)


def _mps(subject: Subject, kinds: set[str]) -> Condition:
    if "mps" in kinds:
        text = "it is a client of MPS, which checkpoints do not support"
        return Condition("mps", Standing.REFUSE, text)
    if subject.mps_server:
        text = "an MPS server runs on this machine; its clients cannot be parked"
        return Condition("mps", Standing.WARN, text)
    return Condition("mps", Standing.OK, "not a client of MPS")


def _mig(subject: Subject, row: GpuProcess) -> Condition:
    inside = any(use.gpu_instance is not None for use in row.gpus)
    if inside or any(device.mig.enabled for device in subject.devices):
        text = "its GPU is in MIG mode, which checkpoints do not support"
        return Condition("mig", Standing.REFUSE, text)
    return Condition("mig", Standing.OK, "no GPU of it is in MIG mode")


def _persistence(subject: Subject) -> Condition:
    modes = {device.index: device.health.persistence_mode for device in subject.devices}
    off = [index for index, mode in modes.items() if mode is False]
    if off:
        listed = ",".join(str(index) for index in off)
        return Condition(
            "persistence",
            Standing.REFUSE,
            f"persistence mode is off on GPU {listed}: a process is reported to have died of it",
            f"sudo nvidia-smi -pm 1 -i {listed}",
        )
    if None in modes.values():
        text = "the driver does not tell whether persistence mode is on"
        return Condition("persistence", Standing.UNKNOWN, text)
    return Condition("persistence", Standing.OK, "persistence mode is on")


def _ranks(subject: Subject) -> Condition:
    if not subject.environment_read:
        text = "its environment may not be read: it may be one rank of several"
        return Condition("nccl", Standing.UNKNOWN, text)
    if subject.ranks is not None and subject.ranks > 1:
        text = f"it is one of {subject.ranks} ranks (WORLD_SIZE), and NCCL across ranks is not supported"
        return Condition("nccl", Standing.REFUSE, text)
    return Condition("nccl", Standing.OK, "it is not one of several ranks")


def _host_memory(subject: Subject) -> Condition:
    needed = subject.row.memory_used_bytes if subject.row else None
    room = subject.headroom_bytes
    if needed is None or room is None:
        text = "how much host memory this takes, or how much there is, is not known"
        return Condition("host-memory", Standing.UNKNOWN, text)
    text = f"needs {data_size(needed)} of host memory, {data_size(room)} may be taken"
    return Condition("host-memory", Standing.OK if room >= needed else Standing.REFUSE, text)


def _rights(subject: Subject) -> Condition:
    if subject.may_enter_all:
        return Condition("rights", Standing.OK, "we may enter other processes")
    text = "without root the driver is reported to refuse most checkpoints"
    return Condition("rights", Standing.WARN, text, "Run it with sudo.")


def _room(record: Parked, snapshot: Snapshot) -> Iterator[Condition]:
    for share in record.gpus:
        device = snapshot.device(share.uuid)
        if device is None:
            text = f"GPU {share.index} ({share.uuid}) is no longer there"
            yield Condition("room", Standing.REFUSE, text)
            continue
        free = device.memory.free_bytes
        if free is None or share.memory_used_bytes is None:
            text = f"how much is free on GPU {device.index}, or is needed, is not known"
            yield Condition("room", Standing.UNKNOWN, text)
            continue
        enough = free >= share.memory_used_bytes
        needed = data_size(share.memory_used_bytes)
        yield Condition(
            "room",
            Standing.OK if enough else Standing.REFUSE,
            f"GPU {device.index} has {data_size(free)} free, {needed} are needed",
            None if enough else f"See who holds it: gpudoctor ps --gpu {device.index}",
        )

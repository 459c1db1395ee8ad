"""What `gpudoctor ps` shows: the processes with where they come from, and what else takes memory."""

from __future__ import annotations

from gpudoctor.model.parked import Parked
from gpudoctor.model.process import GpuProcess
from gpudoctor.model.selection import Unlisted
from gpudoctor.model.snapshot import Device, DriverFacts
from gpudoctor.model.values import Value


class Launcher(Value, frozen=True):
    """What started a process or has it in hand.

    `kind` is "jupyter", "torchrun", "ray", "mpi", "vllm", "slurm", "container" or "systemd"; `name`
    what is to be told of it there: a notebook, a rank, a job, a container's short id, a unit.
    """

    kind: str
    name: str
    detail: str | None = None


class Above(Value, frozen=True):
    """A process above another."""

    pid: int
    name: str
    command: tuple[str, ...] = ()


class Origin(Value, frozen=True):
    """Where a process comes from, the nearest launcher first.

    `pid_in_container` is its pid in its own namespace, None where that is ours.
    """

    launchers: tuple[Launcher, ...] = ()
    pid_in_container: int | None = None


class ListedProcess(GpuProcess, frozen=True):
    """A process on a GPU with its origin; `above` are its ancestors, nearest first, where asked for."""

    launchers: tuple[Launcher, ...] = ()
    pid_in_container: int | None = None
    above: tuple[Above, ...] | None = None


class ListedDevice(Value, frozen=True):
    """A GPU in short. Bytes and a share from 0 to 1."""

    index: int
    uuid: str
    name: str
    state: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    gpu_ratio: float | None = None


class Listing(Value, frozen=True):
    """All of it."""

    driver: DriverFacts
    devices: tuple[ListedDevice, ...]
    processes: tuple[ListedProcess, ...]
    parked: tuple[Parked, ...] = ()
    unlisted: tuple[Unlisted, ...] = ()


def listed(row: GpuProcess, origin: Origin, above: tuple[Above, ...] | None) -> ListedProcess:
    """The process with its origin."""
    values = {name: getattr(row, name) for name in GpuProcess.__struct_fields__}
    return ListedProcess(
        **values,
        launchers=origin.launchers,
        pid_in_container=origin.pid_in_container,
        above=above,
    )


def listed_device(device: Device) -> ListedDevice:
    """The GPU in short."""
    return ListedDevice(
        index=device.index,
        uuid=device.uuid,
        name=device.facts.name,
        state=str(device.state),
        memory_used_bytes=device.memory.used_bytes,
        memory_total_bytes=device.memory.total_bytes,
        gpu_ratio=device.utilization.gpu_ratio,
    )

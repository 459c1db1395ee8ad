"""MIG: is it on, and which instances are there."""

from __future__ import annotations

import pynvml

from gpudoctor.model.readings import MigInstance, MigReading
from gpudoctor.nvml.calls import ask, text_of


def read(handle: object) -> MigReading:
    """MIG mode and instances. All unknown on a GPU that cannot be divided.

    Raises:
        NvmlCallError: the driver failed.
    """
    modes = ask(pynvml.nvmlDeviceGetMigMode, handle)
    if modes is None:
        return MigReading()
    current, pending = bool(modes[0]), bool(modes[1])
    instances = tuple(_instances(handle)) if current else ()
    return MigReading(current, instances, pending)


def _instances(handle: object) -> list[MigInstance]:
    found = []
    for slot in range(ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        instance = ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot)
        if instance is not None:
            found.append(_instance(instance))
    return found


def _instance(handle: object) -> MigInstance:
    memory = ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    attributes = ask(pynvml.nvmlDeviceGetAttributes, handle)
    return MigInstance(
        uuid=text_of(ask(pynvml.nvmlDeviceGetUUID, handle)) or "",
        gpu_instance=ask(pynvml.nvmlDeviceGetGpuInstanceId, handle) or 0,
        compute_instance=ask(pynvml.nvmlDeviceGetComputeInstanceId, handle) or 0,
        name=text_of(ask(pynvml.nvmlDeviceGetName, handle)),
        memory_total_bytes=None if memory is None else memory.total,
        memory_used_bytes=None if memory is None else memory.used,
        slices=None if attributes is None else attributes.gpuInstanceSliceCount,
    )

"""What does not change about a GPU while the driver is loaded."""

from __future__ import annotations

import pynvml

from gpudoctor.model.readings import DeviceFacts
from gpudoctor.nvml import fields
from gpudoctor.nvml.calls import Group, ask, scaled, text_of

# NVML_DEVICE_ARCH_*; one that is newer than this table is shown by its number.
_ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
_UNKNOWN_ARCHITECTURE = 0xFFFFFFFF


def read(handle: object, index: int) -> DeviceFacts:
    """The facts of the GPU behind `handle`.

    Raises:
        NvmlCallError: not even its UUID could be read.
    """
    uuid = text_of(ask(pynvml.nvmlDeviceGetUUID, handle))
    group = Group()
    pci = group.get(pynvml.nvmlDeviceGetPciInfo, handle)
    memory = group.get(pynvml.nvmlDeviceGetMemoryInfo, handle)
    links = (group.get(fields.values_of, handle, (fields.NVLINK_COUNT,)) or {}).get(
        fields.NVLINK_COUNT
    )
    limits = group.get(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle)
    return DeviceFacts(
        uuid=uuid or f"unknown:{index}",
        index=index,
        name=text_of(group.get(pynvml.nvmlDeviceGetName, handle)) or "unknown GPU",
        pci_bus_id=(text_of(pci.busId) or "").upper() if pci is not None else "",
        architecture=_architecture(group.get(pynvml.nvmlDeviceGetArchitecture, handle)),
        compute_capability=_pair(group.get(pynvml.nvmlDeviceGetCudaComputeCapability, handle)),
        memory_total_bytes=None if memory is None else memory.total,
        cuda_cores=group.get(pynvml.nvmlDeviceGetNumGpuCores, handle),
        minor_number=group.get(pynvml.nvmlDeviceGetMinorNumber, handle),
        serial=text_of(group.get(pynvml.nvmlDeviceGetSerial, handle)),
        vbios_version=text_of(group.get(pynvml.nvmlDeviceGetVbiosVersion, handle)),
        power_limit_default_watts=scaled(
            group.get(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle), 1e-3
        ),
        power_limit_max_watts=None if limits is None else limits[1] * 1e-3,
        temperature_slowdown_celsius=_threshold(
            group, handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        ),
        temperature_shutdown_celsius=_threshold(
            group, handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN
        ),
        sm_clock_max_hertz=_max_clock(group, handle, pynvml.NVML_CLOCK_SM),
        memory_clock_max_hertz=_max_clock(group, handle, pynvml.NVML_CLOCK_MEM),
        pcie_generation_max=group.get(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
        pcie_width_max=group.get(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        nvlink_count=None if links is None else int(links),
        temperature_memory_max_celsius=_threshold(
            group, handle, pynvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX
        ),
    )


def _architecture(number: int | None) -> str | None:
    if number is None or number == _UNKNOWN_ARCHITECTURE:
        return None
    return _ARCHITECTURES.get(number, f"architecture {number}")


def _pair(value: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if value is None else (value[0], value[1])


def _threshold(group: Group, handle: object, kind: int) -> int | None:
    return group.get(pynvml.nvmlDeviceGetTemperatureThreshold, handle, kind)


def _max_clock(group: Group, handle: object, kind: int) -> float | None:
    return scaled(group.get(pynvml.nvmlDeviceGetMaxClockInfo, handle, kind), 1e6)

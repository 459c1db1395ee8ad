"""What does not change about a GPU while the driver is loaded."""

from __future__ import annotations

import pynvml

from gpudoctor.model.readings import DeviceFacts
from gpudoctor.nvml import fields
from gpudoctor.nvml.calls import ask, scaled, text_of

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
    pci = ask(pynvml.nvmlDeviceGetPciInfo, handle)
    memory = ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    links = fields.values_of(handle, (fields.NVLINK_COUNT,)).get(fields.NVLINK_COUNT)
    limits = ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle)
    return DeviceFacts(
        uuid=text_of(ask(pynvml.nvmlDeviceGetUUID, handle)) or f"unknown:{index}",
        index=index,
        name=text_of(ask(pynvml.nvmlDeviceGetName, handle)) or "unknown GPU",
        pci_bus_id=(text_of(pci.busId) or "").upper() if pci is not None else "",
        architecture=_architecture(ask(pynvml.nvmlDeviceGetArchitecture, handle)),
        compute_capability=_pair(ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)),
        memory_total_bytes=None if memory is None else memory.total,
        cuda_cores=ask(pynvml.nvmlDeviceGetNumGpuCores, handle),
        minor_number=ask(pynvml.nvmlDeviceGetMinorNumber, handle),
        serial=text_of(ask(pynvml.nvmlDeviceGetSerial, handle)),
        vbios_version=text_of(ask(pynvml.nvmlDeviceGetVbiosVersion, handle)),
        power_limit_default_watts=scaled(
            ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle), 1e-3
        ),
        power_limit_max_watts=None if limits is None else limits[1] * 1e-3,
        temperature_slowdown_celsius=_threshold(handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
        temperature_shutdown_celsius=_threshold(handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN),
        sm_clock_max_hertz=_max_clock(handle, pynvml.NVML_CLOCK_SM),
        memory_clock_max_hertz=_max_clock(handle, pynvml.NVML_CLOCK_MEM),
        pcie_generation_max=ask(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
        pcie_width_max=ask(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        nvlink_count=None if links is None else int(links),
        temperature_memory_max_celsius=_threshold(
            handle, pynvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX
        ),
    )


def _architecture(number: int | None) -> str | None:
    if number is None or number == _UNKNOWN_ARCHITECTURE:
        return None
    return _ARCHITECTURES.get(number, f"architecture {number}")


def _pair(value: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if value is None else (value[0], value[1])


def _threshold(handle: object, kind: int) -> int | None:
    return ask(pynvml.nvmlDeviceGetTemperatureThreshold, handle, kind)


def _max_clock(handle: object, kind: int) -> float | None:
    return scaled(ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, kind), 1e6)

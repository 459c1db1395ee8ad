"""Readings under the names, labels and units of dcgm-exporter's default list.

For dashboards and alerts that were made for dcgm-exporter. Names and labels are those of its
etc/default-counters.csv and of its output; what NVML does not give in the same meaning is left out:
the vGPU licence and the NVLink bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpudoctor.model.snapshot import Device
from gpudoctor.render.metrics.view import Kind, Metric, Reading, Sample, View

_LABELS = (
    "gpu",
    "UUID",
    "pci_bus_id",
    "device",
    "modelName",
    "Hostname",
    "DCGM_FI_DRIVER_VERSION",
)
_MIB = 1024**2


def _labels(view: View, device: Device) -> tuple[str, ...]:
    facts, snapshot = device.facts, view.snapshot
    assert snapshot is not None
    number = facts.index if facts.minor_number is None else facts.minor_number
    host, driver = snapshot.host.hostname, snapshot.driver.version or ""
    return (
        str(facts.index),
        facts.uuid,
        facts.pci_bus_id,
        f"nvidia{number}",
        facts.name,
        host,
        driver,
    )


def _named(
    name: str, text: str, read: Callable[[Device], float | None], kind: Kind = "gauge"
) -> Metric:
    def samples(view: View) -> Iterator[Sample]:
        for device in view.answering():
            yield _labels(view, device), read(device)

    return Metric(f"DCGM_FI_{name}", kind, text, _LABELS, samples)


def _times(value: float | None, factor: float) -> Reading:
    """The reading in whole numbers of DCGM's unit, as dcgm-exporter gives it."""
    return None if value is None else round(value * factor)


def _last_xids(view: View) -> Iterator[Sample]:
    last: dict[str, tuple[float, int]] = {}
    for (uuid, code), total in view.totals.xids.items():
        last[uuid] = max(last.get(uuid, (0.0, 0)), (total.last_at, code))
    for device in view.answering():
        yield _labels(view, device), last.get(device.uuid, (0.0, 0))[1]


DCGM: tuple[Metric, ...] = (
    _named("DEV_SM_CLOCK", "SM clock, MHz.", lambda it: _times(it.clocks.sm_hertz, 1e-6)),
    _named("DEV_MEM_CLOCK", "Memory clock, MHz.", lambda it: _times(it.clocks.memory_hertz, 1e-6)),
    _named("DEV_MEMORY_TEMP", "Memory temperature, C.", lambda it: it.thermal.memory_celsius),
    _named("DEV_GPU_TEMP", "GPU temperature, C.", lambda it: it.thermal.gpu_celsius),
    _named("DEV_POWER_USAGE", "Power, W.", lambda it: it.power.usage_watts),
    _named(
        "DEV_TOTAL_ENERGY_CONSUMPTION",
        "Energy since the driver was loaded, mJ.",
        lambda it: _times(it.power.energy_joules, 1e3),
        "counter",
    ),
    _named(
        "DEV_PCIE_REPLAY_COUNTER",
        "PCIe packets that were sent again.",
        lambda it: it.pcie.replays,
        "counter",
    ),
    _named(
        "DEV_GPU_UTIL",
        "Time in which any kernel ran, %.",
        lambda it: _times(it.utilization.gpu_ratio, 100),
    ),
    _named(
        "DEV_MEM_COPY_UTIL",
        "Time in which the memory was read or written, %.",
        lambda it: _times(it.utilization.memory_ratio, 100),
    ),
    _named(
        "DEV_ENC_UTIL",
        "Time in which the encoder was busy, %.",
        lambda it: _times(it.utilization.encoder_ratio, 100),
    ),
    _named(
        "DEV_DEC_UTIL",
        "Time in which the decoder was busy, %.",
        lambda it: _times(it.utilization.decoder_ratio, 100),
    ),
    Metric(
        "DCGM_FI_DEV_XID_ERRORS",
        "gauge",
        "The last Xid since gpudoctor was started; 0 where there was none.",
        _LABELS,
        _last_xids,
    ),
    _named("DEV_FB_FREE", "Free memory, MiB.", lambda it: _times(it.memory.free_bytes, 1 / _MIB)),
    _named("DEV_FB_USED", "Used memory, MiB.", lambda it: _times(it.memory.used_bytes, 1 / _MIB)),
    _named(
        "DEV_FB_RESERVED",
        "Memory that the driver keeps for itself, MiB.",
        lambda it: _times(it.memory.reserved_bytes, 1 / _MIB),
    ),
    _named(
        "DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "Rows replaced after uncorrectable errors.",
        lambda it: it.health.remapped_uncorrected_rows,
        "counter",
    ),
    _named(
        "DEV_CORRECTABLE_REMAPPED_ROWS",
        "Rows replaced after correctable errors.",
        lambda it: it.health.remapped_corrected_rows,
        "counter",
    ),
    _named(
        "DEV_ROW_REMAP_FAILURE",
        "1 when a row could not be replaced.",
        lambda it: it.health.remap_failed,
    ),
    _named(
        "PROF_GR_ENGINE_ACTIVE",
        "Share of time in which the graphics or compute engine was busy.",
        lambda it: it.gpm.graphics_active_ratio,
    ),
    _named(
        "PROF_PIPE_TENSOR_ACTIVE",
        "Share of time in which the tensor pipe was busy.",
        lambda it: it.gpm.tensor_active_ratio,
    ),
    _named(
        "PROF_DRAM_ACTIVE",
        "Used share of the memory's bandwidth.",
        lambda it: it.gpm.dram_active_ratio,
    ),
    _named(
        "PROF_PCIE_TX_BYTES",
        "Data sent over PCIe, bytes per second.",
        lambda it: _times(it.pcie.transmit_bytes_per_second, 1),
    ),
    _named(
        "PROF_PCIE_RX_BYTES",
        "Data received over PCIe, bytes per second.",
        lambda it: _times(it.pcie.receive_bytes_per_second, 1),
    ),
)

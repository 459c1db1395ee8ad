"""GPU performance monitoring (Hopper and newer): activity of the SMs, their pipes and the memory."""

from __future__ import annotations

import ctypes
import math
import threading
import time
from typing import Any

import pynvml

from gpudoctor.model.readings import GpmReading
from gpudoctor.nvml.calls import FAILURES, ask, translated

# NVML asks for two samples at least so far apart.
SHORTEST_SPAN_S = 0.1
_METRICS = (
    ("sm_active_ratio", 2),
    ("sm_occupancy_ratio", 3),
    ("tensor_active_ratio", 5),
    ("dram_active_ratio", 10),
    ("fp64_active_ratio", 11),
    ("fp32_active_ratio", 12),
    ("fp16_active_ratio", 13),
    ("integer_active_ratio", 4),
    ("graphics_active_ratio", 1),
)
# GPM calls of one process must not run at the same time, not even for different GPUs: concurrent
# sampling has crashed processes (gpud's gpm.go; plazonic/nvidia_gpu_prometheus_exporter issue 7).
_LOCK = threading.Lock()


class Gpm:
    """One GPU's monitoring. Keeps the last sample, so that a tick costs one new sample."""

    def __init__(self, handle: object) -> None:
        self._handle = handle
        self._supported: bool | None = None
        self._before: Any = None
        self._now: Any = None
        self._taken_at = 0.0

    def read(self) -> GpmReading:
        """Shares of time since the last call; all None on the first call or without support.

        Raises:
            NvmlCallError: the driver failed.
        """
        with _LOCK:
            if self._supported is None:
                support = ask(pynvml.nvmlGpmQueryDeviceSupport, self._handle)
                self._supported = bool(support and support.isSupportedDevice)
            if not self._supported:
                return GpmReading()
            return self._sample()

    def _sample(self) -> GpmReading:
        if self._now is None:
            self._before = ask(pynvml.nvmlGpmSampleAlloc)
            self._now = ask(pynvml.nvmlGpmSampleAlloc)
            if self._before is None or self._now is None:
                self._supported = False
                return GpmReading()
        span = time.monotonic() - self._taken_at
        if span < SHORTEST_SPAN_S:
            return GpmReading()
        try:
            pynvml.nvmlGpmSampleGet(self._handle, self._before)
        except FAILURES as error:
            failure = translated("nvmlGpmSampleGet", error)
            if failure is None:
                return GpmReading()
            raise failure from error
        first, self._taken_at = self._taken_at == 0.0, time.monotonic()
        self._before, self._now = self._now, self._before
        return GpmReading() if first else self._metrics()

    def _metrics(self) -> GpmReading:
        asked = pynvml.c_nvmlGpmMetricsGet_t()
        asked.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        asked.numMetrics = len(_METRICS)
        asked.sample1, asked.sample2 = self._before, self._now
        for position, (_, metric) in enumerate(_METRICS):
            asked.metrics[position].metricId = metric
        if ask(pynvml.nvmlGpmMetricsGet, asked) is None:
            return GpmReading()
        return GpmReading(
            **{name: _ratio(asked.metrics[position]) for position, (name, _) in enumerate(_METRICS)}
        )

    def close(self) -> None:
        """Give the samples back."""
        with _LOCK:
            for sample in (self._before, self._now):
                if sample is not None and ctypes.cast(sample, ctypes.c_void_p):
                    ask(pynvml.nvmlGpmSampleFree, sample)
            self._before = self._now = None


def _ratio(metric: Any) -> float | None:
    value = float(metric.value)
    if metric.nvmlReturn != pynvml.NVML_SUCCESS or math.isnan(value):
        return None
    return min(max(value / 100, 0.0), 1.0)

"""The process lists of a GPU: compute, graphics and MPS, with what each process uses of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pynvml

from gpudoctor.model.process import DeviceProcess
from gpudoctor.nvml.calls import MISSING, Group

# What NVML writes where there is no GPU or compute instance.
_NO_INSTANCE = 0xFFFFFFFF
# The driver keeps some seconds of samples; the first look takes the last one.
_FIRST_WINDOW_US = 1_000_000


def _lists() -> tuple[tuple[str, Callable[..., Any], Callable[..., Any]], ...]:
    return (
        (
            "compute",
            pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
            _where_known("nvmlDeviceGetComputeRunningProcesses_v2"),
        ),
        (
            "graphics",
            pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
            _where_known("nvmlDeviceGetGraphicsRunningProcesses_v2"),
        ),
        ("mps", pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3, _no_older_list),
    )


def _where_known(function: str) -> Callable[..., Any]:
    """The binding's function; its older releases know only the newest of these lists."""
    return cast("Callable[..., Any]", getattr(pynvml, function, _no_older_list))


def _no_older_list(_handle: object) -> list[Any]:
    raise pynvml.NVMLError(MISSING)


class ProcessList:
    """Reads one GPU's processes. Only for that GPU's worker."""

    def __init__(self, handle: object) -> None:
        self._handle = handle
        self._seen_until_us = 0
        # Which version of each list this library has; None until it is known.
        self._functions: dict[str, Callable[..., Any]] = {}

    def read(self) -> tuple[DeviceProcess, ...]:
        """All processes of the GPU and of its MIG instances.

        Raises:
            NvmlCallError: no list could be read.
        """
        group = Group()
        found = [
            (kind, entry)
            for kind, newer, older in _lists()
            for entry in self._list(group, kind, newer, older)
        ]
        group.close()
        use = self._utilization() if found else {}
        rows = (self._row(kind, entry, use) for kind, entry in found)
        # A process that computes and draws is in two lists with the same memory.
        first: dict[tuple[int, int | None, int | None], DeviceProcess] = {}
        for row in rows:
            first.setdefault((row.pid, row.gpu_instance, row.compute_instance), row)
        return tuple(first.values())

    def _list(
        self, group: Group, kind: str, newer: Callable[..., Any], older: Callable[..., Any]
    ) -> list[Any]:
        function = self._functions.get(kind)
        if function is None:
            function = older if self._missing(newer) else newer
            self._functions[kind] = function
        return group.get(function, self._handle) or []

    @staticmethod
    def _missing(function: Callable[..., Any]) -> bool:
        try:
            pynvml._nvmlGetFunctionPointer(function.__name__)
        except pynvml.NVMLError:
            return True
        return False

    def _utilization(self) -> dict[int, tuple[float, float]] | None:
        """(SM, memory) ratios by pid since the last look; None where the GPU does not tell."""
        now_us = int(time.time() * 1e6)
        since = self._seen_until_us
        # The clock was set back: until it is there again, nothing would be newer.
        if not 0 < since <= now_us:
            since = now_us - _FIRST_WINDOW_US
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(self._handle, since)
        except pynvml.NVMLError as error:
            # No sample since then: nobody ran a kernel.
            if error.value in (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND):
                return {}
            return None
        newest = {sample.pid: sample for sample in sorted(samples, key=lambda s: s.timeStamp)}
        self._seen_until_us = max((sample.timeStamp for sample in samples), default=since)
        return {
            pid: (min(sample.smUtil, 100) / 100, min(sample.memUtil, 100) / 100)
            for pid, sample in newest.items()
        }

    @staticmethod
    def _row(kind: str, entry: Any, use: dict[int, tuple[float, float]] | None) -> DeviceProcess:
        sm, memory = (None, None) if use is None else use.get(entry.pid, (0.0, 0.0))
        return DeviceProcess(
            pid=entry.pid,
            kind=kind,
            memory_used_bytes=entry.usedGpuMemory,
            gpu_instance=_instance(entry.gpuInstanceId),
            compute_instance=_instance(entry.computeInstanceId),
            sm_ratio=sm,
            memory_ratio=memory,
        )


def _instance(number: int | None) -> int | None:
    return None if number is None or number == _NO_INSTANCE else number

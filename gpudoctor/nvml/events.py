"""The driver's event set: Xids and memory errors as they happen."""

from __future__ import annotations

import threading
import time
from typing import Any

import pynvml

from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.nvml.api import NvmlCallError
from gpudoctor.nvml.calls import FAILURES, ask, text_of, translated

# nvmlEventType*: those that tell of trouble. Changes of clocks and power states come by the thousand.
_KINDS = {
    0x1: "ecc_single_bit",
    0x2: "ecc_double_bit",
    0x8: "xid",
    0x200: "ecc_single_bit_storm",
    0x400: "dram_retirement",
    0x800: "dram_failure",
    0x1000: "non_fatal_poison",
    0x2000: "fatal_poison",
    0x4000: "gpu_unavailable",
    0x8000: "recovery_action",
}
# A wait is cut into slices, so that closing need not wait for long.
_SLICE_S = 0.25


class Events:
    """One event set with every GPU that can tell events. `usable` is False where none can."""

    def __init__(self, device_count: int) -> None:
        self._set: Any = ask(pynvml.nvmlEventSetCreate)
        self._waiting = threading.Lock()
        self._closing = False
        registered = [self._register(index) for index in range(device_count)]
        self.usable = self._set is not None and any(registered)

    def _register(self, index: int) -> bool:
        if self._set is None:
            return False
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            wanted = pynvml.nvmlDeviceGetSupportedEventTypes(handle) & sum(_KINDS)
            if wanted:
                pynvml.nvmlDeviceRegisterEvents(handle, wanted, self._set)
        except FAILURES:
            # A GPU that has no events, or is lost, must not cost the others theirs.
            return False
        return bool(wanted)

    def wait(self, timeout_s: float) -> tuple[GpuEvent, ...]:
        """The events that came; at most `timeout_s` seconds for the first, none for the rest.

        Raises:
            NvmlCallError: the driver failed or has gone.
        """
        found: list[GpuEvent] = []
        with self._waiting:
            until = time.monotonic() + timeout_s
            while self._set is not None and not self._closing:
                left_s = 0.0 if found else max(until - time.monotonic(), 0.0)
                try:
                    data = self._next(int(min(left_s, _SLICE_S) * 1000))
                except NvmlCallError:
                    # The Xid that tells why a GPU was lost is not to be lost with it.
                    if found:
                        break
                    raise
                if data is not None:
                    found.append(_event(data))
                elif left_s <= _SLICE_S:
                    break
        return tuple(found)

    def _next(self, patience_ms: int) -> Any:
        try:
            return pynvml.nvmlEventSetWait_v2(self._set, patience_ms)
        except FAILURES as error:
            if getattr(error, "value", None) == pynvml.NVML_ERROR_TIMEOUT:
                return None
            failure = translated("nvmlEventSetWait_v2", error)
            if failure is None:
                return None
            raise failure from error

    def close(self) -> None:
        """Free the set, unless a thread still waits on it: freeing under a waiter crashes."""
        self._closing = True
        if self._waiting.acquire(timeout=2 * _SLICE_S):
            gone, self._set = self._set, None
            if gone is not None:
                ask(pynvml.nvmlEventSetFree, gone)
            self._waiting.release()


def _event(data: Any) -> GpuEvent:
    kind = _KINDS.get(data.eventType, f"event_0x{data.eventType:x}")
    uuid = text_of(ask(pynvml.nvmlDeviceGetUUID, data.device)) or "unknown"
    text = f"Xid {data.eventData}" if kind == "xid" else kind.replace("_", " ")
    return GpuEvent(time.time(), uuid, kind, int(data.eventData), text)

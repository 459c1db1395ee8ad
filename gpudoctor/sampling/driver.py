"""Follows the driver: its facts, its number of GPUs, and its going away and coming back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import DriverFacts
from gpudoctor.nvml.api import DriverGoneError, Nvml, NvmlCallError, NvmlDevice

_LOOK_EVERY_S = 10.0
_RETRY_EVERY_S = 2.0


class DriverLink:
    """Holds the open NVML. `state` is (generation, number of GPUs); a new generation voids handles.

    What may block (counting, opening) happens in a thread of its own, so that the scheduler never
    waits for it.
    """

    def __init__(self, nvml: Nvml, reopen: Callable[[], Nvml] | None) -> None:
        self.nvml: Nvml | None = nvml
        self.facts: DriverFacts | None = None
        self._reopen = reopen
        self._generation = 0
        self._count = 0
        self._looked_at: float | None = None
        self._looking = False
        self._lock = threading.Lock()

    def state(self, patience_s: float) -> tuple[int, int]:
        """(generation, number of GPUs). The first call waits up to `patience_s` for the driver."""
        first = self._looked_at is None
        if not self._looking and (
            first or time.monotonic() - (self._looked_at or 0) > self._pause()
        ):
            self._looking = True
            look = threading.Thread(target=self._look, name="driver", daemon=True)
            look.start()
            if first:
                look.join(patience_s)
        with self._lock:
            return self._generation, self._count

    def device(self, index: int) -> NvmlDevice:
        """The device of this index.

        Raises:
            DriverGoneError: the driver is away.
        """
        nvml = self.nvml
        if nvml is None:
            raise DriverGoneError("nvmlInit", 9, "the driver is not loaded")
        return nvml.device(index)

    def lost(self, generation: int) -> None:
        """Handles of this generation are void: close, and open again when the driver is back."""
        if self._reopen is None or generation != self._generation or self.nvml is None:
            return
        gone, self.nvml = self.nvml, None
        self._looked_at = time.monotonic()
        _close_quietly(gone)

    def close(self) -> None:
        """Let go of the driver."""
        if self.nvml is not None:
            _close_quietly(self.nvml)
            self.nvml = None

    def _pause(self) -> float:
        return _LOOK_EVERY_S if self.nvml is not None else _RETRY_EVERY_S

    def _look(self) -> None:
        try:
            if self.nvml is None and self._reopen is not None:
                self.nvml = self._reopen()
                with self._lock:
                    self._generation += 1
                    self._count = 0
            if self.nvml is not None:
                self.facts = self.nvml.driver()
                count = self.nvml.device_count()
                with self._lock:
                    # A smaller count is a lost GPU, which its own worker tells better.
                    self._count = max(self._count, count)
        except (NvmlCallError, GpuDoctorError):
            pass
        finally:
            self._looked_at = time.monotonic()
            self._looking = False


def _close_quietly(nvml: Nvml) -> None:
    with contextlib.suppress(NvmlCallError):
        nvml.close()

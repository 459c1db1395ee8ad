"""Waits for the driver's events in a thread of its own and keeps the latest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from gpudoctor.model.snapshot import GpuEvent
from gpudoctor.nvml.api import Nvml, NvmlCallError

KEPT_EVENTS = 256
_WAIT_S = 1.0


class EventWatch:
    """Collects GpuEvents from `nvml()` until stopped; `nvml` gives None while the driver is away."""

    def __init__(self, nvml: Callable[[], Nvml | None]) -> None:
        self._nvml = nvml
        self._events: deque[GpuEvent] = deque(maxlen=KEPT_EVENTS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does within a second, or with the driver call that it hangs in."""
        self._stop.set()

    def tell(self, event: GpuEvent) -> None:
        """Take an event that somebody else than the driver's library tells."""
        self._events.append(event)

    @property
    def recent(self) -> tuple[GpuEvent, ...]:
        """The latest events, oldest first."""
        return tuple(self._events)

    def _run(self) -> None:
        while not self._stop.is_set():
            nvml = self._nvml()
            try:
                found = nvml.wait_events(_WAIT_S) if nvml is not None else ()
            except NvmlCallError:
                nvml, found = None, ()
            self._events.extend(found)
            if nvml is None:
                self._stop.wait(_WAIT_S)

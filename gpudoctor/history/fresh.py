"""Tells new events from those that earlier snapshots told already."""

from __future__ import annotations

from gpudoctor.model.snapshot import GpuEvent


class FreshEvents:
    """Every snapshot repeats the latest events; `of` gives those that came since the last call."""

    def __init__(self) -> None:
        self._last: GpuEvent | None = None

    def of(self, events: tuple[GpuEvent, ...]) -> tuple[GpuEvent, ...]:
        """The events of a new snapshot that are new."""
        position = 0
        for index in range(len(events) - 1, -1, -1):
            # By identity: two equal events are two events.
            if events[index] is self._last:
                position = index + 1
                break
        if events:
            self._last = events[-1]
        return events[position:]

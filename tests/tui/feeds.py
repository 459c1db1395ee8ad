"""A feed that publishes what a test hands it."""

from __future__ import annotations

from collections.abc import Callable

from gpudoctor.model.snapshot import Snapshot


class ScriptedFeed:
    def __init__(self, first: Snapshot | None = None) -> None:
        self.latest = first
        self._readers: list[Callable[[Snapshot], None]] = []

    def subscribe(self, fn: Callable[[Snapshot], None]) -> Callable[[], None]:
        self._readers.append(fn)
        return lambda: self._readers.remove(fn)

    def publish(self, snapshot: Snapshot) -> None:
        self.latest = snapshot
        for reader in tuple(self._readers):
            reader(snapshot)

"""A feed that publishes what a test hands it."""

from __future__ import annotations

from collections.abc import Callable

from gpudoctor.model.snapshot import Snapshot


class ScriptedFeed:
    def __init__(self, *snapshots: Snapshot) -> None:
        self._first = snapshots
        self._readers: list[Callable[[Snapshot], None]] = []
        self.stopped = False

    def start(self) -> None:
        for snapshot in self._first:
            self.publish(snapshot)

    def stop(self) -> None:
        self.stopped = True

    def subscribe(self, fn: Callable[[Snapshot], None]) -> Callable[[], None]:
        self._readers.append(fn)
        return lambda: self._readers.remove(fn)

    def publish(self, snapshot: Snapshot) -> None:
        for reader in tuple(self._readers):
            reader(snapshot)

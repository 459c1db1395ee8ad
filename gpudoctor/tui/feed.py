"""Where snapshots come from, and how they reach the screen: only ever the newest, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from textual.message import Message

from gpudoctor.history.values import History
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Snapshot


class Feed(Protocol):
    """Publishes snapshots from a thread of its own; the Sampler is one. Whoever made it starts it."""

    @property
    def latest(self) -> Snapshot | None: ...

    def subscribe(self, fn: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call `fn` with every new snapshot, in the feed's thread. Returns the unsubscribe."""
        ...


class VerdictFeed(Protocol):
    """Publishes verdicts on the processes from a thread of its own; the OrphanWatch is one."""

    @property
    def latest(self) -> tuple[Orphan, ...]: ...

    @property
    def settled(self) -> frozenset[ProcessKey]:
        """The processes that were watched for long enough to be judged."""
        ...

    def subscribe(self, reader: Callable[[tuple[Orphan, ...]], None]) -> None: ...


class Past(Protocol):
    """What was recorded before the screen was opened."""

    def read(self, since: float, until: float) -> History | None:
        """The recordings from `since` to `until` (seconds since the epoch), None where there are none.

        It may take seconds, and is never called in the painting thread.
        """
        ...


class VerdictsArrived(Message):
    """All processes have been judged anew."""

    def __init__(self, orphans: tuple[Orphan, ...]) -> None:
        super().__init__()
        self.orphans = orphans


class SnapshotArrived(Message):
    """A snapshot waits in the mailbox."""


class Mailbox:
    """Holds the newest snapshot between two threads.

    A screen that paints slower than the machine is sampled skips snapshots and never lags behind.
    """

    def __init__(self, notify: Callable[[], object]) -> None:
        self._notify = notify
        self._waiting: Snapshot | None = None
        self._lock = threading.Lock()

    def put(self, snapshot: Snapshot) -> None:
        """Leave a snapshot; the reader is told once, however many come before it looks."""
        with self._lock:
            told = self._waiting is not None
            self._waiting = snapshot
        if not told:
            self._notify()

    def take(self) -> Snapshot | None:
        """The newest snapshot, if one has come since the last look."""
        with self._lock:
            snapshot, self._waiting = self._waiting, None
        return snapshot

"""Tells others what changed, in threads of their own: who is slow or gone holds up nobody."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gpudoctor.daemon.changes import Change
from gpudoctor.model.finding import Severity

# What waits for a target that does not answer; beyond, the oldest is lost and counted.
MOST_WAITING = 256
MOST_AT_ONCE = 64
# What belongs together, as eight GPUs that fall silent, comes within this time.
GATHER_S = 0.5
RETRIES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_LOG = logging.getLogger(__name__)


class NotTakenError(Exception):
    """A target did not take what it was told. `again` is False where telling it again is no use."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Target(Protocol):
    """Where changes go. `repeat_s` says how often what lasts must be told again; None: never."""

    name: str
    repeat_s: float | None

    def deliver(self, changes: Sequence[Change]) -> None:
        """Tell them.

        Raises:
            NotTakenError: they were not taken.
        """


@dataclass(frozen=True, slots=True)
class Counts:
    """How many changes a target was told, and how many never reached it."""

    sent: int = 0
    lost: int = 0


class Courier:
    """Brings changes of at least `least` to one target, in their order."""

    def __init__(
        self,
        target: Target,
        *,
        least: Severity = Severity.WARNING,
        retries_s: Sequence[float] = RETRIES_S,
        gather_s: float = GATHER_S,
    ) -> None:
        self.counts = Counts()
        self._target = target
        self._least = least
        self._retries_s = tuple(retries_s)
        self._gather_s = gather_s
        self._waiting: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._lasting: dict[object, Change] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what was not told by then is not told any more."""
        self._stop.set()
        self._waiting.put(None)
        self._thread.join(0.3)

    def add(self, change: Change) -> None:
        """Take a change to be told; never waits."""
        if change.severity < self._least:
            return
        if self._waiting.qsize() >= MOST_WAITING:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                pass
            else:
                self._count(lost=1)
        self._waiting.put(change)

    def _run(self) -> None:
        every = self._target.repeat_s
        due = None if every is None else time.monotonic() + every
        while not self._stop.is_set():
            try:
                wait = None if due is None else max(0.0, due - time.monotonic())
                first = self._waiting.get(timeout=wait)
            except queue.Empty:
                self._send(list(self._lasting.values()), again=True)
                due = None if every is None else time.monotonic() + every
                continue
            if first is not None and not self._stop.wait(self._gather_s):
                self._send(self._gathered(first))

    def _gathered(self, first: Change) -> list[Change]:
        gathered = [first]
        while len(gathered) < MOST_AT_ONCE:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                break
            if more is None:
                break
            gathered.append(more)
        return gathered

    def _send(self, changes: list[Change], *, again: bool = False) -> None:
        if not changes:
            return
        if not again:
            self._remember(changes)
        for wait in (*self._retries_s, None):
            try:
                self._target.deliver(changes)
            except NotTakenError as error:
                if wait is None or not error.again:
                    _LOG.warning("%s: %d not told: %s", self._target.name, len(changes), error)
                    self._count(lost=0 if again else len(changes))
                    return
                if self._stop.wait(wait):
                    return
            else:
                self._count(sent=0 if again else len(changes))
                return

    def _remember(self, changes: Sequence[Change]) -> None:
        """Keep what lasts, for targets that must be told again and again."""
        if self._target.repeat_s is None:
            return
        for change in changes:
            if change.ended:
                self._lasting.pop(change.key, None)
            elif change.lasts and len(self._lasting) < MOST_WAITING:
                self._lasting[change.key] = change

    def _count(self, *, sent: int = 0, lost: int = 0) -> None:
        with self._lock:
            had = self.counts
            self.counts = replace(had, sent=had.sent + sent, lost=had.lost + lost)


class Notifier:
    """Tells all targets; `add` is a Journal's listener. Targets may be exchanged at any time."""

    def __init__(self) -> None:
        self._couriers: dict[str, Courier] = {}
        self._lasting: dict[object, Change] = {}
        self._past: dict[str, Counts] = {}
        self._lock = threading.Lock()

    def add(self, change: Change) -> None:
        """Take a change to be told; never waits for a target."""
        with self._lock:
            if change.ended:
                self._lasting.pop(change.key, None)
            elif change.lasts:
                self._lasting[change.key] = change
            for courier in self._couriers.values():
                courier.add(change)

    def use(self, targets: Iterable[Target], least: Severity) -> None:
        """Tell these from now on, beginning with what has begun and not ended."""
        with self._lock:
            before = self._couriers
            for name, courier in before.items():
                self._past[name] = self._sum(name, courier)
            self._couriers = {target.name: Courier(target, least=least) for target in targets}
            for courier in self._couriers.values():
                for change in self._lasting.values():
                    courier.add(change)
                courier.start()
        for courier in before.values():
            courier.stop()

    def stop(self) -> None:
        """Tell nobody any more."""
        self.use((), Severity.ERROR)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many changes were "sent" and "lost", by the target's name and that word."""
        with self._lock:
            sums = {name: self._sum(name, one) for name, one in self._couriers.items()}
        return {
            (name, outcome): count
            for name, one in sums.items()
            for outcome, count in (("sent", one.sent), ("lost", one.lost))
        }

    def _sum(self, name: str, courier: Courier) -> Counts:
        past, now = self._past.get(name, Counts()), courier.counts
        return Counts(past.sent + now.sent, past.lost + now.lost)

"""Judges the holders of GPU memory again and again, for front ends that stay open."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from gpudoctor.model.lineage import HostLook
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.orphans import Look, judge

Reader = Callable[[tuple[Orphan, ...]], None]
_LOG = logging.getLogger(__name__)
# Snapshots nearer to each other than this say no more about progress.
_SPACING_S = 1.0
_MOST_CPU = 0.005


class OrphanWatch:
    """Looks at the host every `every_s` seconds, in a thread of its own, and compares.

    Where a look costs much (hundreds of processes) it looks less often, so that all looks together
    take no more than half a percent of one CPU.

    Progress is judged over the last `window_s` seconds, so that a verdict that needs it comes after
    that time and not before; `settled` are the processes that were watched for so long.
    `see` is to be called with every snapshot.
    """

    def __init__(
        self,
        host: Callable[[Snapshot], HostLook],
        *,
        begin_s: float = 2.0,
        every_s: float = 10.0,
        window_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.latest: tuple[Orphan, ...] = ()
        self.settled: frozenset[ProcessKey] = frozenset()
        self._host = host
        self._begin_s = begin_s
        self._every_s = every_s
        self._pause_s = every_s
        self._window_s = window_s
        self._clock = clock
        self._seen: deque[tuple[float, Snapshot]] = deque()
        self._looks: deque[tuple[float, Look]] = deque()
        self._readers: list[Reader] = []
        self._fresh = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="orphans", daemon=True)

    def subscribe(self, reader: Reader) -> None:
        """Call `reader` with all verdicts after every look, in the watch's thread."""
        self._readers.append(reader)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it holds nothing that would have to be given back."""
        self._stop.set()
        self._fresh.set()

    def see(self, snapshot: Snapshot) -> None:
        """Remember what the driver said."""
        now = self._clock()
        with self._lock:
            if not self._seen or now - self._seen[-1][0] >= _SPACING_S:
                self._seen.append((now, snapshot))
            while self._seen and now - self._seen[0][0] > self._window_s + self._pause_s:
                self._seen.popleft()
        self._fresh.set()

    def look(self) -> tuple[Orphan, ...]:
        """Look at the host now and judge by the looks of the last `window_s` seconds."""
        with self._lock:
            if not self._seen:
                return ()
            seen = tuple(self._seen)
        at, snapshot = seen[-1]
        now = Look(snapshot, self._host(snapshot))
        while len(self._looks) > 1 and at - self._looks[1][0] >= self._window_s:
            self._looks.popleft()
        earlier = next((one for one in self._looks if at - one[0] >= self._window_s), None)
        self._looks.append((at, now))
        if earlier is None:
            self.settled = frozenset()
            return judge(now)
        self.settled = frozenset(one.key for one in earlier[1].snapshot.processes)
        return judge(now, earlier[1], tuple(one for when, one in seen if earlier[0] < when < at))

    def _run(self) -> None:
        self._fresh.wait()
        # Whoever starts a watch has other things to do first, such as to show something.
        self._stop.wait(self._begin_s)
        while not self._stop.is_set():
            begun = time.thread_time()
            try:
                self.latest = self.look()
                for reader in tuple(self._readers):
                    reader(self.latest)
            except Exception:  # noqa: BLE001 - a look that fails must not end the watch
                _LOG.exception("a look at the holders of GPU memory failed")
            self._pause_s = max(self._every_s, (time.thread_time() - begun) / _MOST_CPU)
            self._stop.wait(self._pause_s)

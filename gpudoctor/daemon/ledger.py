"""Keeps the latest snapshot and what only grows, and the bodies made of them."""

from __future__ import annotations

import contextlib
import gzip
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from gpudoctor.history.fresh import FreshEvents
from gpudoctor.host.owners import OwnerReader
from gpudoctor.model.owner import Owner
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.nvml.demo import OWNERS
from gpudoctor.render.metrics.table import METRICS
from gpudoctor.render.metrics.view import Inspection, Metric, OwnCost, Totals, View, XidTotal
from gpudoctor.render.prometheus import exposition

# Kept, because Python 3.12.1 was seen never to free the parts of a path that it took apart.
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Ledger:
    """`add` is a Sampler's subscriber; everything else may be called from any thread.

    Nothing is sampled here, and what is made of one snapshot is made once, however many ask.
    """

    def __init__(
        self,
        *,
        interval_s: float,
        deadline_s: float = 3.0,
        process_rows: int = 0,
        link_rows: bool = False,
        metrics: tuple[Metric, ...] = METRICS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval_s = interval_s
        self._deadline_s = deadline_s
        # How many samples the flight recorder could not write, where there is one.
        self.unrecorded: Callable[[], int] | None = None
        # What was told to webhooks and commands, where there are any.
        self.notified: Callable[[], Mapping[tuple[str, str], int]] | None = None
        # What the reclaim policy did, where there is one.
        self.reclaimed: Callable[[], Mapping[tuple[str, str], int]] | None = None
        self.table = metrics
        self._clock = clock
        self._started_at = time.time()
        self._lock = threading.Lock()
        self._arrived = float("-inf")
        self._view = View(
            interval_seconds=interval_s, process_rows=process_rows, link_rows=link_rows
        )
        self._owners = OwnerReader()
        self._fresh = FreshEvents()
        self._failed_at: dict[tuple[str, str], float] = {}
        self._bodies: dict[tuple[str, bool], bytes] = {}
        self._made_of: View | None = None

    def keep_pace(self, interval_s: float) -> None:
        """Expect samples every `interval_s` seconds from now on."""
        with self._lock:
            self.interval_s = interval_s
            self._view = replace(self._view, interval_seconds=interval_s)

    def add(self, snapshot: Snapshot) -> None:
        """Take a new snapshot."""
        totals, own = self._totals(snapshot), self._own()
        owners = self._owners_of(snapshot)
        with self._lock:
            self._view = replace(
                self._view, snapshot=snapshot, fresh=True, totals=totals, own=own, owners=owners
            )
            self._arrived = self._clock()

    def add_inspection(self, inspection: Inspection) -> None:
        """Take what was found in the latest inspection."""
        with self._lock:
            self._view = replace(self._view, inspection=inspection)

    def view(self) -> View:
        """What the metrics are computed from, now."""
        with self._lock:
            # Two samples may be missed before the readings count as old.
            fresh_for_s = 3 * self.interval_s + self._deadline_s
            if self._view.fresh and self._clock() - self._arrived > fresh_for_s:
                # What was found on a machine that cannot be seen any more may be over.
                self._view = replace(self._view, fresh=False, inspection=None)
            return self._view

    def metrics(self, *, openmetrics: bool = False, compressed: bool = False) -> bytes:
        """The body of a scrape."""
        kind = "openmetrics" if openmetrics else "text"

        def make(view: View) -> bytes:
            return exposition(view, openmetrics=openmetrics, metrics=self.table)

        return self.body(kind, compressed, make)

    def body(self, kind: str, compressed: bool, make: Callable[[View], bytes]) -> bytes:
        """What `make` makes of the view, made once for each view and `kind`."""
        view = self.view()
        with self._lock:
            if self._made_of is not view:
                self._made_of = view
                self._bodies.clear()
            plain = self._bodies.get((kind, False))
            if plain is None:
                plain = self._bodies[kind, False] = make(view)
            if not compressed:
                return plain
            packed = self._bodies.get((kind, True))
            if packed is None:
                packed = self._bodies[kind, True] = gzip.compress(plain, 1, mtime=0)
            return packed

    def _owners_of(self, snapshot: Snapshot) -> Mapping[int, Owner]:
        # The pids of a machine that is played mean nothing on this one.
        if snapshot.source == "nvml":
            return self._owners.of(snapshot.processes)
        return OWNERS if snapshot.simulated else {}

    def _totals(self, snapshot: Snapshot) -> Totals:
        before = self._view.totals
        xids = dict(before.xids)
        for event in self._fresh.of(snapshot.events):
            if event.kind == "xid":
                known = xids.get((event.uuid, event.code))
                xids[event.uuid, event.code] = XidTotal((known.count if known else 0) + 1, event.at)
        errors = dict(before.collector_errors)
        for outcome in snapshot.collectors:
            key = (outcome.uuid, outcome.collector)
            errors.setdefault(key, 0)
            # A collector that is not due keeps its last outcome, which is one failure, not many.
            if not outcome.ok and self._failed_at.get(key) != outcome.at:
                self._failed_at[key] = outcome.at
                errors[key] += 1
        return Totals(before.samples + 1, xids, errors)

    def _own(self) -> OwnCost:
        resident = files = None
        with contextlib.suppress(OSError, ValueError, IndexError):
            resident = int(_STATM.read_text("ascii").split()[1]) * _PAGE
            files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - half the cost of iterdir
        unrecorded = self.unrecorded() if self.unrecorded else None
        notified = self.notified() if self.notified else {}
        return OwnCost(
            time.process_time(),
            resident,
            files,
            self._started_at,
            unrecorded,
            notified,
            self.reclaimed() if self.reclaimed else {},
        )

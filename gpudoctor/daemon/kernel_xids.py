"""Xids that the driver's library did not tell, from the kernel log, where we may read it.

NVML tells nothing of a GPU that it cannot watch, or while the driver is being opened again; the log
has it all. What both tell is told once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpudoctor.checks.facts.kernel_log import read_record, xids_of
from gpudoctor.history.fresh import FreshEvents
from gpudoctor.host.proc_files import whole_number
from gpudoctor.model.snapshot import GpuEvent, Snapshot

# How far apart the library's and the log's time of one Xid may lie.
SAME_WITHIN_S = 3.0
PREFIX = "kernel log: "
# A driver that floods the log must not hold up the samples.
_MOST_RECORDS = 500
_MOST_WAITING = 256


@dataclass(slots=True)
class _Waiting:
    """An Xid of the log of which the library may yet tell."""

    event: GpuEvent
    looked_at: int = 0


class KernelXids:
    """`add` is a Sampler's subscriber; what only the log has is given to `tell`."""

    def __init__(
        self,
        tell: Callable[[GpuEvent], None],
        path: Path = Path("/dev/kmsg"),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tell = tell
        self._path = path
        self._clock = clock
        self._file: int | None = None
        self._fresh = FreshEvents()
        self._told: list[GpuEvent] = []
        self._waiting: list[_Waiting] = []

    def start(self) -> bool:
        """Begin at the log's end; False where it may not be read, as without root on most machines."""
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            self.stop()
        return self._file is not None

    def stop(self) -> None:
        """Read no more."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def add(self, snapshot: Snapshot) -> None:
        """Take what the library told, read what the log has, and tell what only the log has."""
        now = self._clock()
        self._told += [one for one in self._fresh.of(snapshot.events) if _from_library(one)]
        self._told = [one for one in self._told if now - one.at < 10 * SAME_WITHIN_S]
        self._drop_what_both_have()
        for one in self._waiting:
            one.looked_at += 1
        # The library's word may come with the next sample, so nothing is told in the first one.
        ripe = [it for it in self._waiting if it.looked_at > 1 and _age(it, now) > SAME_WITHIN_S]
        self._waiting = [it for it in self._waiting if it not in ripe]
        for one in ripe:
            self._tell(one.event)
        self._waiting += [_Waiting(event) for event in self._read(snapshot)]
        del self._waiting[:-_MOST_WAITING]

    def _drop_what_both_have(self) -> None:
        for one in tuple(self._waiting):
            same = next((it for it in self._told if _same(it, one.event)), None)
            if same is not None:
                self._told.remove(same)
                self._waiting.remove(one)

    def _read(self, snapshot: Snapshot) -> list[GpuEvent]:
        found: list[GpuEvent] = []
        try:
            for _ in range(_MOST_RECORDS):
                record = None if self._file is None else read_record(self._file)
                if record is None:
                    break
                for line in record.splitlines():
                    found += self._events_of(line, snapshot)
        except OSError:
            self.stop()
        return found

    def _events_of(self, line: str, snapshot: Snapshot) -> list[GpuEvent]:
        head, _, message = line.partition(";")
        xids = xids_of((message or line,))
        if not xids:
            return []
        fields = head.split(",")
        since_boot = whole_number(fields[2]) if len(fields) > 2 else None
        now = self._clock()
        at = now if since_boot is None else min(now, now - time.monotonic() + since_boot / 1e6)
        uuids = {_address(it.facts.pci_bus_id): it.uuid for it in snapshot.devices}
        return [
            GpuEvent(at, uuids[_address(xid.pci)], "xid", xid.code, PREFIX + xid.details)
            for xid in xids
            if _address(xid.pci) in uuids
        ]


def _age(one: _Waiting, now: float) -> float:
    return now - one.event.at


def _from_library(event: GpuEvent) -> bool:
    return event.kind == "xid" and not event.text.startswith(PREFIX)


def _same(told: GpuEvent, found: GpuEvent) -> bool:
    one = (told.uuid, told.code) == (found.uuid, found.code)
    return one and abs(told.at - found.at) <= SAME_WITHIN_S


def _address(pci: str) -> tuple[int, ...] | None:
    """(domain, bus, device) of `0000:3b:00`, `0000:3B:00.0` or `00000000:3B:00.0`."""
    try:
        return tuple(int(part, 16) for part in pci.partition(".")[0].split(":"))
    except ValueError:
        return None

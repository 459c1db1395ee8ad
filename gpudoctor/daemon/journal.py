"""Tells the daemon's log what changes: GPUs that stop answering or come back, Xids, findings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from gpudoctor.daemon.changes import Change, Tell, event, finding, orphan, silent
from gpudoctor.history.fresh import FreshEvents
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.orphan import Orphan, Verdict
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot
from gpudoctor.render.metrics.view import Inspection

_SILENT = (DeviceState.STALE, DeviceState.LOST)
# A driver that repeats an Xid every few milliseconds must not fill the disk with log lines.
_MOST_EVENTS = 20
_LOG = logging.getLogger(__name__)


class Journal:
    """`add` and `add_inspection` take what comes; only differences are logged, each once.

    Each is also told to all of `listeners`, which must not take long.
    """

    def __init__(self, listeners: Sequence[Tell] = ()) -> None:
        self._listeners = tuple(listeners)
        self._fresh = FreshEvents()
        self._silent: dict[str, DeviceState] = {}
        self._findings: dict[tuple[str, str], Finding] = {}
        self._orphans: dict[ProcessKey, Orphan] = {}
        self._begun: dict[object, float] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Log GPUs whose state changed, and Xids."""
        for device in snapshot.devices:
            self._state(device, snapshot.taken_at)
        indices = {device.uuid: device.index for device in snapshot.devices}
        events = self._fresh.of(snapshot.events)
        for one in events[:_MOST_EVENTS]:
            self._tell(event(one, indices.get(one.uuid)))
        if len(events) > _MOST_EVENTS:
            _LOG.warning("and %d more events", len(events) - _MOST_EVENTS)

    def add_inspection(self, inspection: Inspection) -> None:
        """Log findings and orphans that appeared, and those that are gone."""
        found = {
            (one.id, one.subject): one
            for one in inspection.report.findings
            if one.severity > Severity.INFO
        }
        for key, one in found.items():
            if key not in self._findings:
                self._tell(finding(one, inspection.at))
        for key, one in self._findings.items():
            if key not in found:
                self._tell(finding(one, inspection.at, ended=True))
        self._findings = found
        left = {one.key: one for one in inspection.orphans if one.verdict is Verdict.ORPHAN}
        for process, each in left.items():
            if process not in self._orphans:
                self._tell(orphan(each, inspection.at))
        for process, each in self._orphans.items():
            if process not in left:
                self._tell(orphan(each, inspection.at, ended=True))
        self._orphans = left

    def add_change(self, change: Change) -> None:
        """Log and tell a change that others found."""
        self._tell(change)

    def _state(self, device: Device, at: float) -> None:
        before = self._silent.get(device.uuid)
        if device.state in _SILENT and device.state is not before:
            self._silent[device.uuid] = device.state
            self._tell(silent(device, at))
        elif device.state not in _SILENT and before is not None:
            del self._silent[device.uuid]
            self._tell(silent(device, at, ended=True))

    def _tell(self, change: Change) -> None:
        _LOG.log(logging.INFO if change.ended else logging.WARNING, "%s", change.summary)
        if change.ended:
            change = replace(change, begun=self._begun.pop(change.key, None))
        elif change.lasts:
            self._begun.setdefault(change.key, change.at)
        for listener in self._listeners:
            listener(change)

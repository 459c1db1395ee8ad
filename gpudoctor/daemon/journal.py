"""Tells the daemon's log what changes: GPUs that stop answering or come back, Xids, findings."""

from __future__ import annotations

import logging

from gpudoctor.history.fresh import FreshEvents
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.orphan import Orphan, Verdict
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import Device, DeviceState, GpuEvent, Snapshot
from gpudoctor.model.xids import XIDS
from gpudoctor.render.metrics.view import Inspection
from gpudoctor.units import data_size, printable

_SILENT = (DeviceState.STALE, DeviceState.LOST)
# A driver that repeats an Xid every few milliseconds must not fill the disk with log lines.
_MOST_EVENTS = 20
_LOG = logging.getLogger(__name__)


class Journal:
    """`add` and `add_inspection` take what comes; only differences are logged, each once."""

    def __init__(self) -> None:
        self._fresh = FreshEvents()
        self._silent: dict[str, DeviceState] = {}
        self._findings: dict[tuple[str, str], Finding] = {}
        self._orphans: dict[ProcessKey, Orphan] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Log GPUs whose state changed, and Xids."""
        for device in snapshot.devices:
            self._state(device)
        names = {device.uuid: f"GPU {device.index}" for device in snapshot.devices}
        events = self._fresh.of(snapshot.events)
        for event in events[:_MOST_EVENTS]:
            _LOG.warning("%s: %s", names.get(event.uuid, event.uuid), _text(event))
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
                _LOG.warning("%s: %s: %s", one.id, one.subject, printable(one.summary))
        for key in self._findings.keys() - found.keys():
            _LOG.info("%s: %s: no longer found", *key)
        self._findings = found
        left = {one.key: one for one in inspection.orphans if one.verdict is Verdict.ORPHAN}
        for process, orphan in left.items():
            if process not in self._orphans:
                _LOG.warning("%s", _orphan(orphan))
        self._orphans = left

    def _state(self, device: Device) -> None:
        before = self._silent.get(device.uuid)
        if device.state in _SILENT and device.state is not before:
            self._silent[device.uuid] = device.state
            _LOG.warning(
                "GPU %d (%s) is %s: %s", device.index, device.uuid, device.state, device.error
            )
        elif device.state not in _SILENT and before is not None:
            del self._silent[device.uuid]
            _LOG.info("GPU %d (%s) answers again", device.index, device.uuid)


def _text(event: GpuEvent) -> str:
    if event.kind != "xid":
        return f"{event.kind} {event.code} {printable(event.text)}".rstrip()
    known = XIDS.get(event.code)
    told = printable(event.text) or (known.meaning if known else "")
    return f"Xid {event.code}" + (f", {told}" if told else "")


def _orphan(orphan: Orphan) -> str:
    where = ", ".join(str(index) for index in orphan.gpus)
    reasons = "; ".join(printable(reason.text) for reason in orphan.reasons)
    held = data_size(orphan.memory_used_bytes)
    return f"orphan: pid {orphan.pid} of {orphan.user} holds {held} on GPU {where}: {reasons}"

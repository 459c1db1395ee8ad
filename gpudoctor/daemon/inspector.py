"""Runs the checks and judges the processes now and then, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.facts.kernel_log import read_kernel_log
from gpudoctor.checks.facts.machine import read_machine
from gpudoctor.checks.registry import Check, registered
from gpudoctor.checks.runner import run_checks
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.host.installed import installed_torch
from gpudoctor.host.interpreter import find
from gpudoctor.model.check import CheckReport
from gpudoctor.model.environment import InstalledTorch
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.reclaim.looking import local_look, played_look
from gpudoctor.reclaim.orphans import Look, judge
from gpudoctor.render.metrics.view import Inspection

# What a daemon can know: it has no script, no interpreter and no environment of a job to look at.
_KNOWN = frozenset({"gpus", "driver", "machine", "kernel log"})
# Two looks further apart say nothing of a process's progress now.
_WINDOW_S = 900.0
_KEPT_SNAPSHOTS = 128
_FIRST_AFTER_S = 2.0
# An environment changes with an installation, which nobody waits to see.
_LOOK_AGAIN_S = 3600.0
_ROOT = Path("/")
_LOG = logging.getLogger(__name__)


class Inspector:
    """`add` is a Sampler's subscriber. What is found goes to the Ledger, every `interval_s` seconds,
    and to `tell`.

    It reads and judges; it never acts.
    """

    def __init__(
        self, ledger: Ledger, *, interval_s: float, tell: Callable[[Inspection], None] | None = None
    ) -> None:
        self._ledger = ledger
        self._tell = tell
        self._interval_s = interval_s
        self._seen: deque[Snapshot] = deque(maxlen=_KEPT_SNAPSHOTS)
        self._before: Look | None = None
        self._checks: tuple[Check, ...] = ()
        self._installed: tuple[float, InstalledTorch | None] | None = None
        self._failed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)

    def start(self) -> None:
        """Begin to inspect."""
        self._thread.start()

    def stop(self) -> None:
        """Stop with the inspection that runs; nobody waits for it."""
        self._stop.set()

    def add(self, snapshot: Snapshot) -> None:
        """Take a snapshot; those between two looks tell whether a process's GPU did anything."""
        self._seen.append(snapshot)

    def inspect(self, snapshot: Snapshot) -> Inspection:
        """Look at the host now, and judge it together with `snapshot`."""
        begun = time.monotonic()
        report = self._check(snapshot)
        orphans = self._judge(snapshot)
        installed = self._environment(snapshot)
        return Inspection(time.time(), time.monotonic() - begun, orphans, report, installed)

    def _run(self) -> None:
        wait = _FIRST_AFTER_S
        while not self._stop.wait(wait):
            view = self._ledger.view()
            if view.snapshot is None or not view.fresh:
                wait = _FIRST_AFTER_S
                continue
            wait = self._interval_s
            try:
                found = self.inspect(view.snapshot)
                self._ledger.add_inspection(found)
                if self._tell is not None:
                    self._tell(found)
            except Exception:  # noqa: BLE001 - whatever it is, the samples must go on
                # The time of the last inspection, which stands still, tells it in the metrics.
                if not self._failed:
                    _LOG.exception("the inspection failed")
                self._failed = True

    def _check(self, snapshot: Snapshot) -> CheckReport:
        if not self._checks:
            wanted = [one for one in registered() if one.needs and _KNOWN.issuperset(one.needs)]
            self._checks = tuple(wanted)
        if snapshot.source != "nvml":
            # This host's devices and kernel log are not those of the machine that is played.
            return run_checks(self._checks, CheckContext(snapshot=snapshot))
        context = CheckContext(
            snapshot=snapshot,
            machine=read_machine(_ROOT),
            kernel_log=read_kernel_log(_ROOT / "dev/kmsg", True),
        )
        return run_checks(self._checks, context)

    def _environment(self, snapshot: Snapshot) -> InstalledTorch | None:
        if snapshot.source != "nvml":
            return None
        now = time.monotonic()
        if self._installed is None or now - self._installed[0] > _LOOK_AGAIN_S:
            self._installed = now, installed_torch(find())
        return self._installed[1]

    def _judge(self, snapshot: Snapshot) -> tuple[Orphan, ...]:
        host = local_look(snapshot) if snapshot.source == "nvml" else played_look(snapshot)
        now, before = Look(snapshot, host), self._before
        self._before = now
        seen = self._take_until(snapshot)
        if before is None or not 0 < host.at - before.host.at < _WINDOW_S:
            return judge(now)
        ends = (before.snapshot.taken_at, snapshot.taken_at)
        between = [one for one in seen if one.taken_at not in ends]
        return judge(now, before, tuple(between))

    def _take_until(self, snapshot: Snapshot) -> list[Snapshot]:
        """What was seen up to `snapshot`; the next look needs only what comes after it."""
        taken: list[Snapshot] = []
        # In the order in which they came: a clock that was set tells another one.
        while self._seen and (not taken or taken[-1].taken_at != snapshot.taken_at):
            taken.append(self._seen.popleft())
        return taken

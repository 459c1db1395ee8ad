"""Ends left-over processes by a policy that was asked for, slowly, and tells each act with its evidence."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gpudoctor.daemon.acts import HOUR_S, ActLog
from gpudoctor.daemon.changes import Tell, reclaimed
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.policy import Mode, Policy, Rule
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.ending import Ending, Target
from gpudoctor.model.orphan import Orphan, Verdict
from gpudoctor.model.process import ProcessKey
from gpudoctor.model.snapshot import DeviceState, Snapshot
from gpudoctor.reclaim.execute import LADDER, end
from gpudoctor.reclaim.identity import identity
from gpudoctor.reclaim.plan import plan
from gpudoctor.render.metrics.view import Inspection

# What was left over before such a gap between inspections may have been in use meanwhile.
LONGEST_GAP_S = 900.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Act:
    """What was done to an orphan, or would have been; `detail` are signals or the reason against it."""

    orphan: Orphan
    mode: Mode
    result: str
    held_s: float
    detail: str = ""


class Reclaimer:
    """`add` takes inspections; one process is ended after each, at most, in a thread of its own.

    How long a process was left over counts from when this daemon first found it so, without a break.
    What daemons before it ended counts by `acts`; an act that cannot be written there is not done.
    """

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        tell: Tell,
        *,
        acts: ActLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._acts = acts
        self._policy = policy
        self._ledger = ledger
        self._tell = tell
        self._clock = clock
        self._since: dict[ProcessKey, float] = {}
        self._told: set[tuple[ProcessKey, Mode, str]] = set()
        self._done: set[tuple[ProcessKey, Mode]] = set()
        before = acts.ages() if acts is not None else []
        self._ended_at = deque(clock() - age for age in before)
        self._looked = float("-inf")
        self._counts: Counter[tuple[str, str]] = Counter()
        self._waiting: queue.SimpleQueue[Inspection | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reclaimer", daemon=True)

    def start(self) -> None:
        """Begin to act."""
        say_policy(self._policy)
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; nobody waits for what was begun."""
        self._waiting.put(None)

    def use(self, policy: Policy) -> None:
        """Follow another policy from the next inspection on."""
        if policy != self._policy:
            self._policy = policy
            say_policy(policy)

    def add(self, inspection: Inspection) -> None:
        """Take what an inspection found; never waits."""
        self._waiting.put(inspection)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many acts there were, by (mode, result)."""
        return dict(self._counts)

    def consider(self, inspection: Inspection) -> Act | None:
        """Do what the policy wants now: at most one process is ended. Gives that act.

        Dry runs are all told at once.
        """
        snapshot = self._current()
        if snapshot is None:
            # What happens while nobody looks is not known, so the time begins anew.
            self._since.clear()
            return None
        self._note(inspection)
        for orphan in inspection.orphans:
            rule = self._due(orphan, snapshot)
            if rule is None:
                continue
            act = self._act(orphan, rule, snapshot)
            self._say(act)
            if act.mode is Mode.KILL and act.result not in ("refused", "limited"):
                return act
        return None

    def _run(self) -> None:
        while (inspection := self._waiting.get()) is not None:
            # While a process was being ended others may have come; only the newest is of now.
            while not self._waiting.empty():
                newer = self._waiting.get()
                if newer is None:
                    return
                inspection = newer
            try:
                self.consider(inspection)
            except Exception:  # noqa: BLE001 - the daemon's other work must go on
                _LOG.exception("the reclaim policy could not be followed")

    def _current(self) -> Snapshot | None:
        view = self._ledger.view()
        return view.snapshot if view.fresh else None

    def _note(self, inspection: Inspection) -> None:
        now = self._clock()
        if now - self._looked > LONGEST_GAP_S:
            self._since.clear()
        self._looked = now
        left = {one.key for one in inspection.orphans if one.verdict is Verdict.ORPHAN}
        self._since = {key: self._since.get(key, now) for key in left}
        self._done = {one for one in self._done if one[0] in left}
        self._told = {one for one in self._told if one[0] in left}

    def _due(self, orphan: Orphan, snapshot: Snapshot) -> Rule | None:
        """The rule by which something is to be done about it now."""
        rule = self._policy.rule_for(orphan.user, orphan.uid)
        since = self._since.get(orphan.key)
        # What cannot be reached by a signal has no start time or no such offer.
        ends = any(offer.action == "kill" for offer in orphan.offers)
        if rule is None or since is None or orphan.key.started is None or not ends:
            return None
        if self._clock() - since < rule.held_longer_than_s or (orphan.key, rule.mode) in self._done:
            return None
        answering = {one.index for one in snapshot.devices if one.state is DeviceState.OK}
        listed = any(one.key == orphan.key for one in snapshot.processes)
        return rule if listed and orphan.gpus and answering.issuperset(orphan.gpus) else None

    def _act(self, orphan: Orphan, rule: Rule, snapshot: Snapshot) -> Act:
        act = Act(orphan, rule.mode, "would end", self._clock() - self._since[orphan.key])
        if rule.mode is Mode.KILL:
            now = self._clock()
            while self._ended_at and now - self._ended_at[0] >= HOUR_S:
                self._ended_at.popleft()
            if len(self._ended_at) >= self._policy.at_most_per_hour:
                most = self._policy.at_most_per_hour
                return replace(act, result="limited", detail=f"{most} were ended within an hour")
            act = self._end(act, snapshot)
        if act.result != "limited":
            self._done.add((orphan.key, rule.mode))
        return act

    def _end(self, act: Act, snapshot: Snapshot) -> Act:
        try:
            target = _target(act.orphan, snapshot)
            if self._acts is not None:
                self._acts.add()
        except GpuDoctorError as error:
            why = f"{error.message}: {error.cause}" if error.cause else error.message
            return replace(act, result="refused", detail=why)
        except OSError as error:
            # After a crash nobody would know of it, and a daemon that crashes often would end all.
            why = f"its time cannot be written down: {error}"
            return replace(act, result="limited", detail=why)
        self._ended_at.append(self._clock())
        ended: Ending = end((target,), LADDER)[0]
        detail = ", ".join(ended.signals)
        if ended.detail:
            detail = f"{detail}; {ended.detail}" if detail else ended.detail
        return replace(act, result=str(ended.outcome), detail=detail)

    def _say(self, act: Act) -> None:
        key = (act.orphan.key, act.mode, act.result)
        if key in self._told:
            return
        self._told.add(key)
        self._counts[act.mode.value, act.result.replace(" ", "_")] += 1
        told = reclaimed(act.orphan, act.mode, act.result, act.held_s, act.detail, time.time())
        self._tell(told)


def _target(orphan: Orphan, snapshot: Snapshot) -> Target:
    """The orphan alone, never what is below it: that has a verdict of its own.

    Raises:
        GpuDoctorError: it is another process by now, or must not be touched.
    """
    if snapshot.source != "nvml":
        raise GpuDoctorError("the machine is made up")
    ticks = identity(orphan.pid, orphan.key.started)
    target = next(one for one in plan([orphan.pid], snapshot) if one.pid == orphan.pid)
    if target.start_ticks != ticks or target.uid != orphan.uid:
        raise GpuDoctorError(f"process {orphan.pid} is not the one that was judged")
    return target


def say_policy(policy: Policy) -> None:
    """One line in the log, so that nobody has to guess whether something may be ended."""
    kills = sum(rule.mode is Mode.KILL for rule in policy.rules)
    _LOG.warning(
        "reclaim policy: %d of %d rules end processes, at most %d in an hour; uid %d may end %s",
        kills,
        len(policy.rules),
        policy.at_most_per_hour,
        os.geteuid(),
        "anybody's" if os.geteuid() == 0 else "its own alone",
    )

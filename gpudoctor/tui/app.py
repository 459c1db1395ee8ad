"""The application: takes snapshots from the feed and hands each to the screen that is shown.

Screens other than the first are imported when they are opened, so that the first frame comes sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.check import Inspected
from gpudoctor.model.finding import Finding
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.process import GpuProcess, ProcessKey
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.present.checked import from_findings, with_told
from gpudoctor.present.glyphs import UNICODE, Glyphs
from gpudoctor.present.host import source_note
from gpudoctor.present.parked import with_parked
from gpudoctor.present.remarks import Remark
from gpudoctor.present.verdicts import NO_VERDICTS, Verdicts, by_pid, verdict_of
from gpudoctor.tui.base import BaseApp
from gpudoctor.tui.errands import Errands
from gpudoctor.tui.feed import Feed, Mailbox, Past, SnapshotArrived, VerdictFeed, VerdictsArrived
from gpudoctor.tui.history import History, Recordings, recorded
from gpudoctor.tui.look import Look
from gpudoctor.tui.looking import apart, next_look
from gpudoctor.tui.parking import ParkedRows, parked_rows
from gpudoctor.tui.screens.live import LiveScreen
from gpudoctor.tui.screens.overview import OverviewScreen

if TYPE_CHECKING:
    from gpudoctor.tui.screens.fleet import FleetSource

# A daemon looks once a minute, unless told otherwise.
_FINDINGS_S = 10.0


class GpuDoctorApp(BaseApp):
    """The terminal UI of gpudoctor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "events", "Events"),
        Binding("E,f7", "environment", "Check", key_display="E"),
        Binding("v", "visible", "CUDA map"),
        Binding("F", "fleet", "Fleet"),
        Binding("R", "profiles", "Profile"),
        Binding("B", "benches", "Bench"),
        Binding("p", "pause", "Pause"),
        Binding("L", "next_theme", "Theme", show=False),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        feed: Feed,
        *,
        theme: str = "",
        set_: Glyphs = UNICODE,
        watch: VerdictFeed | None = None,
        fleet: Callable[[], FleetSource] | None = None,
        past: Past | None = None,
        attached: Callable[[], bool] = lambda: False,
        inspected: Callable[[], Inspected | None] = lambda: None,
        look: Look = Look(),  # noqa: B008 - it never changes
        complaint: str = "",
        read_only: bool = False,
    ) -> None:
        super().__init__(theme, set_, look, complaint)
        self.read_only = read_only
        self.history = History()
        self.snapshot: Snapshot | None = None
        self.paused = False
        # What the checks found: from here, and those of the daemon.
        self.own: tuple[Finding, ...] = ()
        self.told: Inspected | None = None
        self._inspected = inspected
        self._ask_again_at = 0.0
        self.verdicts: Verdicts = NO_VERDICTS
        self._settled: frozenset[ProcessKey] = frozenset()
        self.see = next_look(feed)
        self._feed = feed
        self._watch = watch
        self._fleet = fleet
        self.past = past
        self._attached = attached
        self._was_attached = False
        self._recorded = False
        self.errands = Errands()
        self._parked: ParkedRows = ()
        self._asking_for_parked = False
        self._mailbox = Mailbox(lambda: self.post_message(SnapshotArrived()))

    def get_default_screen(self) -> OverviewScreen:
        """The overview is the screen that the others are opened from."""
        return OverviewScreen()

    def on_mount(self) -> None:
        """Begin to listen."""
        self._feed.subscribe(self._mailbox.put)
        if self._feed.latest is not None:
            self._mailbox.put(self._feed.latest)
        if self._watch is not None:
            self._watch.subscribe(self._judged)
            self._take(self._watch, self._watch.latest)
        self._was_attached = self._attached()
        self._ask_for_past()

    def _ask_for_past(self) -> None:
        past = self.past
        if past is not None:
            apart(self, partial(recorded, past), self._remember)

    def _remember(self, came: Recordings | GpuDoctorError) -> None:
        if isinstance(came, GpuDoctorError):
            return
        for window_s, history in came:
            self.history.fill(window_s, history)
        if came:
            self._recorded = True
            self._show()

    @property
    def note(self) -> str:
        """Where the readings come from, where that is not the driver itself."""
        reach_s = self.history.reach_s(time.time()) if self._recorded else None
        return source_note(self._attached(), reach_s)

    def _judged(self, orphans: tuple[Orphan, ...]) -> None:
        self.post_message(VerdictsArrived(orphans))

    def on_snapshot_arrived(self) -> None:
        """Remember the snapshot and show it, unless the picture is held."""
        snapshot = self._mailbox.take()
        if snapshot is None:
            return
        self.history.add(snapshot)
        self._notice_source()
        if not self.paused:
            self.snapshot = with_parked(snapshot, self._parked)
            self._show()
        # A recording's and the demo's processes are not this machine's.
        if snapshot.source == "nvml" and not self._asking_for_parked:
            self._asking_for_parked = True
            apart(self, parked_rows, self._parked_known)

    def _notice_source(self) -> None:
        """Take what a daemon found; say that one is used from now on, or that it is gone."""
        attached = self._attached()
        if attached and time.monotonic() > self._ask_again_at:
            self._ask_again_at = time.monotonic() + _FINDINGS_S
            apart(self, self._inspected, self._take_findings)
        if attached == self._was_attached:
            return
        self._was_attached = attached
        if attached:
            self.notify("A daemon runs here now: what is shown comes from it.")
            self._ask_for_past()
        else:
            self.told, self._ask_again_at = None, 0.0
            self.notify("The daemon is gone: the driver itself is asked.", severity="warning")

    def _take_findings(self, came: Inspected | GpuDoctorError | None) -> None:
        # What a daemon that is gone has found may be over by now.
        self.told = came if isinstance(came, Inspected) and self._attached() else None
        self._show()

    @property
    def checked(self) -> tuple[Remark, ...]:
        """What is to be remarked of what the checks found, from here and by the daemon."""
        return from_findings(with_told(self.own, self.told))

    def _parked_known(self, came: ParkedRows | GpuDoctorError) -> None:
        self._asking_for_parked = False
        known = () if isinstance(came, GpuDoctorError) else came
        newest = self._feed.latest
        if known == self._parked:
            return
        self._parked = known
        if newest is not None and not self.paused:
            self.snapshot = with_parked(newest, known)
            self._show()

    def on_verdicts_arrived(self, event: VerdictsArrived) -> None:
        """Remember which processes may be left over."""
        if self._watch is not None:
            self._take(self._watch, event.orphans)
        if not self.paused:
            self._show()

    def _take(self, watch: VerdictFeed, orphans: tuple[Orphan, ...]) -> None:
        self.verdicts, self._settled = by_pid(orphans), watch.settled

    def newest(self) -> Snapshot | None:
        """The newest snapshot, also while the picture is held."""
        return self._feed.latest

    def settled(self, process: GpuProcess) -> bool:
        """Whether a process was watched for long enough to be judged, or nobody judges."""
        return self._watch is None or process.key in self._settled

    def judged(self, process: GpuProcess) -> Orphan | None:
        """The latest verdict on a process, also where nothing speaks against it."""
        latest = self._watch.latest if self._watch is not None else ()
        return verdict_of(process, {one.pid: one for one in latest})

    def _show(self) -> None:
        # While we end, the screen is taken apart under us.
        if not self.is_running:
            return
        # A screen that is still being put together shows the newest snapshot once it is.
        if isinstance(self.screen, LiveScreen) and self.screen.ready:
            self.screen.catch_up()

    def action_events(self) -> None:
        """All that the driver told since the start."""
        from gpudoctor.tui.screens.events import EventsScreen

        if not isinstance(self.screen, EventsScreen):
            self.push_screen(EventsScreen())

    def action_environment(self) -> None:
        """What is wrong with this machine and its Python."""
        from gpudoctor.tui.screens.environment import EnvironmentScreen

        if not isinstance(self.screen, EnvironmentScreen):
            self.push_screen(EnvironmentScreen())

    def action_visible(self) -> None:
        """Which GPU is cuda:0, and what the variables that choose GPUs do."""
        from gpudoctor.tui.screens.visible import VisibleScreen

        if not isinstance(self.screen, VisibleScreen):
            self.push_screen(VisibleScreen())

    def action_fleet(self) -> None:
        """Many machines, by their Prometheus."""
        from gpudoctor.tui.screens.fleet import FleetScreen, MachineScreen

        if self._fleet is not None and not isinstance(self.screen, FleetScreen | MachineScreen):
            self.push_screen(FleetScreen(self._fleet()))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Many machines are offered only where a Prometheus was named, scripts not read-only.

        What shows the screen that is shown already does nothing.
        """
        if self.screen_stack and action == getattr(self.screen_stack[-1], "OPENED_BY", None):
            return False
        if action in ("profiles", "benches"):
            return not self.read_only
        return action != "fleet" or self._fleet is not None

    def action_profiles(self) -> None:
        """Profile a script, and look at earlier profiles."""
        from gpudoctor.tui.screens.profiles import ProfileScreen

        if not isinstance(self.screen, ProfileScreen):
            self.push_screen(ProfileScreen())

    def action_benches(self) -> None:
        """Measure settings against each other, and look at earlier results."""
        from gpudoctor.tui.screens.benches import BenchScreen

        if not isinstance(self.screen, BenchScreen):
            self.push_screen(BenchScreen())

    def action_pause(self) -> None:
        """Hold the picture, or go on; the history goes on either way."""
        self.paused = not self.paused
        self._show()

"""Snapshots from a running daemon for a front end that stays open; from the driver while there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from msgspec.structs import replace

from gpudoctor.daemon.client import Client, NoAnswerError
from gpudoctor.daemon.ours import as_we_see
from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.snapshot import DeviceState, Snapshot
from gpudoctor.sampling.sampler import Sampler

Reader = Callable[[Snapshot], None]
Found = tuple[Client, Snapshot]
_LOG = logging.getLogger(__name__)
# One answer may come late while the daemon writes or is stopped for a moment; two say that it is gone.
_TRIES = 2
_RETRY_S = 2.0
# A daemon that is back is asked again; one that comes and goes is asked ever more seldom.
_BACK_S = 5.0
_MOST_BACK_S = 60.0


def oldest(interval_s: float) -> float:
    """How old a daemon's sample may be for one who looks every `interval_s` seconds.

    A daemon that looks every five seconds, as it does unless told otherwise, is just in time.
    """
    return max(8.0, 3 * interval_s)


class AttachedFeed:
    """Publishes what a daemon sees, every `interval_s` seconds, as a Sampler does.

    `found` is a daemon with its look. Without one, and while it is gone, hangs or lies, `open_direct`
    gives a Sampler, which publishes until `seek` finds a daemon; that is tried every `back_s` (5) seconds.
    `client` is the daemon that is used, None while it is the Sampler.
    """

    def __init__(
        self,
        open_direct: Callable[[], Sampler],
        seek: Callable[[], Found | None],
        *,
        found: Found | None = None,
        interval_s: float = 1.0,
        back_s: float | None = None,
    ) -> None:
        self.client: Client | None = None
        self.latest: Snapshot | None = None
        if found is not None:
            self.client, self.latest = found
        self._seek = seek
        self._open_direct = open_direct
        self._interval_s = interval_s
        self._back_s = _BACK_S if back_s is None else back_s
        self._readers: dict[int, Reader] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._sampler: Sampler | None = None
        self._thread = threading.Thread(target=self._run, name="attached", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End; nobody waits for an answer that is still to come."""
        with self._lock:
            self._stop.set()
            sampler = self._sampler
        if sampler is not None:
            sampler.stop()

    def subscribe(self, fn: Reader) -> Callable[[], None]:
        """Call `fn` with every new snapshot, in a thread of the feed. Returns the unsubscribe."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._readers[number] = fn

        def unsubscribe() -> None:
            with self._lock:
                self._readers.pop(number, None)

        return unsubscribe

    def _run(self) -> None:
        back_s = self._back_s
        while not self._stop.is_set():
            begun = time.monotonic()
            if self.client is not None:
                self._follow(self.client)
            steady = time.monotonic() - begun > _MOST_BACK_S
            back_s = self._back_s if steady else back_s
            self._go_direct(back_s)
            back_s = min(2 * back_s, _MOST_BACK_S)

    def _follow(self, client: Client) -> None:
        """Publish what the daemon sees until it is gone."""
        failed = 0
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._take(self._ask(client))
                failed = 0
            except NoAnswerError as error:
                failed += 1
                if failed >= _TRIES:
                    _LOG.warning("the daemon is not used any more: %s", error)
                    return
            self._stop.wait(max(0.05, self._interval_s - (time.monotonic() - begun)))

    def _ask(self, client: Client) -> Snapshot:
        limit = oldest(self._interval_s)
        return as_we_see(client.snapshot(oldest_s=limit, pace_s=self._interval_s))

    def _take(self, seen: Snapshot) -> None:
        if self.latest is None or seen.monotonic > self.latest.monotonic:
            self._publish(seen)

    def _publish(self, snapshot: Snapshot) -> None:
        self.latest = snapshot
        with self._lock:
            readers = tuple(self._readers.values())
        for reader in readers:
            try:
                reader(snapshot)
            except Exception:  # noqa: BLE001
                # One broken reader must not stop the others.
                _LOG.exception("a reader of snapshots failed")

    def _go_direct(self, back_s: float) -> None:
        """Let a Sampler publish until there is a daemon; it is looked for every `back_s` seconds."""
        self.client = None
        sampler: Sampler | None = None
        while not self._stop.is_set():
            sampler = sampler or self._opened()
            if self._stop.wait(_RETRY_S if sampler is None else back_s):
                return
            found = self._seek()
            if found is None:
                continue
            with self._lock:
                self._sampler = None
            if sampler is not None:
                sampler.stop()
            self.client, seen = found
            _LOG.info("the daemon at %s is used", self.client.path)
            self._take(seen)
            return

    def _opened(self) -> Sampler | None:
        """A Sampler that publishes; None where the driver cannot be asked, or we have ended meanwhile."""
        try:
            sampler = self._open_direct()
        except GpuDoctorError as error:
            self._say_stale(error)
            return None
        with self._lock:
            self._sampler = sampler
            ended = self._stop.is_set()
        if ended:
            sampler.stop()
            return None

        def publish(snapshot: Snapshot) -> None:
            # One that hangs may give its last look after the daemon is back.
            if self._sampler is sampler:
                self._publish(snapshot)

        sampler.subscribe(publish)
        sampler.start()
        return sampler

    def _say_stale(self, error: GpuDoctorError) -> None:
        """Nothing old is shown as new, also while neither the daemon nor the driver answers."""
        if self.latest is None:
            return
        since = self.latest.taken_at
        self._publish(
            replace(
                self.latest,
                taken_at=time.time(),
                monotonic=time.monotonic(),
                devices=tuple(
                    replace(
                        device,
                        state=DeviceState.STALE,
                        error=error.message,
                        stale_since=device.stale_since or since,
                    )
                    for device in self.latest.devices
                ),
            )
        )

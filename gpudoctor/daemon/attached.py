"""Snapshots from a running daemon for a front end that stays open; from the driver while it is gone."""

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
    """Publishes what the daemon behind `client` sees, every `interval_s` seconds, as a Sampler does.

    While the daemon is gone, hangs or lies, `open_direct` gives a Sampler, which publishes until the
    daemon can be used again; that is tried every `back_s` seconds. `daemon` says whether it is used.
    """

    def __init__(
        self,
        client: Client,
        open_direct: Callable[[], Sampler],
        *,
        first: Snapshot | None = None,
        interval_s: float = 1.0,
        back_s: float = _BACK_S,
    ) -> None:
        self.latest = first
        self.daemon = True
        self._client = client
        self._open_direct = open_direct
        self._interval_s = interval_s
        self._back_s = back_s
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
            self._follow()
            steady = time.monotonic() - begun > _MOST_BACK_S
            back_s = self._back_s if steady else back_s
            self._go_direct(back_s)
            back_s = min(2 * back_s, _MOST_BACK_S)

    def _follow(self) -> None:
        """Publish what the daemon sees until it is gone."""
        failed = 0
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._take(self._ask())
                failed = 0
            except NoAnswerError as error:
                failed += 1
                if failed >= _TRIES:
                    _LOG.warning("the daemon is not used any more: %s", error)
                    return
            self._stop.wait(max(0.05, self._interval_s - (time.monotonic() - begun)))

    def _ask(self) -> Snapshot:
        limit = oldest(self._interval_s)
        return as_we_see(self._client.snapshot(oldest_s=limit, pace_s=self._interval_s))

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
        """Let a Sampler publish until the daemon is back; it is asked every `back_s` seconds."""
        self.daemon = False
        sampler: Sampler | None = None
        while not self._stop.is_set():
            sampler = sampler or self._opened()
            if self._stop.wait(_RETRY_S if sampler is None else back_s):
                return
            try:
                seen = self._ask()
            except NoAnswerError:
                continue
            with self._lock:
                self._sampler = None
            if sampler is not None:
                sampler.stop()
            _LOG.info("the daemon is used again")
            self.daemon = True
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

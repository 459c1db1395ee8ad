"""The sampler: one scheduler with monotonic deadlines, one worker for each GPU.

A GPU whose driver call hangs misses its deadline, is shown as stale with its last values, and delays
nobody else; it is taken up again when the call returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import msgspec

from gpudoctor.host.api import Host
from gpudoctor.model.snapshot import (
    CollectorOutcome,
    Device,
    DeviceState,
    DriverFacts,
    GpuEvent,
    Snapshot,
)
from gpudoctor.nvml.api import Nvml
from gpudoctor.sampling.collector import Collector, registered
from gpudoctor.sampling.driver import DriverLink
from gpudoctor.sampling.events import EventWatch
from gpudoctor.sampling.processes import merge, pids_of
from gpudoctor.sampling.worker import DeviceSample, DeviceWorker, unknown_facts

Subscriber = Callable[[Snapshot], None]
_JOIN_S = 1.0
# A GPU that answers this fast is waited for before the next one is asked: threads that are all awake
# at once fight over the interpreter's lock, which costs more CPU than the sample. Slower ones overlap.
_STAGGER_S = 0.002


class Sampler:
    """Publishes a Snapshot every `interval_s` seconds.

    `reopen` opens NVML anew after the driver was reloaded; without it a lost driver stays lost.
    The first snapshot waits `first_s` (the deadline where None) for GPUs that do not answer.
    """

    def __init__(
        self,
        nvml: Nvml,
        host: Host,
        *,
        interval_s: float = 1.0,
        deadline_s: float = 3.0,
        first_s: float | None = None,
        reopen: Callable[[], Nvml] | None = None,
        collectors: tuple[Collector, ...] | None = None,
    ) -> None:
        self.interval_s = interval_s
        self.deadline_s = deadline_s
        self.latest: Snapshot | None = None
        self._first_s = deadline_s if first_s is None else first_s
        self._host = host
        self._source = nvml.source
        self._collectors = registered() if collectors is None else collectors
        self._driver = DriverLink(nvml, reopen)
        self._events = EventWatch(lambda: self._driver.nvml)
        self._done: SimpleQueue[DeviceSample] = SimpleQueue()
        self._workers: list[DeviceWorker] = []
        self._generation = -1
        self._subscribers: dict[int, Subscriber] = {}
        self._next_subscriber = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample in the background."""
        self._events.start()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within two seconds, even while a driver call hangs (its thread is then abandoned)."""
        self._stop.set()
        self._events.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
        for worker in self._workers:
            worker.stop()
        if not any(worker.busy for worker in self._workers):
            self._driver.close()

    def tell(self, event: GpuEvent) -> None:
        """Let the coming snapshots tell an event that does not come from the driver's library."""
        self._events.tell(event)

    def subscribe(self, fn: Subscriber) -> Callable[[], None]:
        """Call `fn` with every new snapshot, in the scheduler's thread. Returns the unsubscribe."""
        with self._lock:
            number = self._next_subscriber
            self._next_subscriber += 1
            self._subscribers[number] = fn

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(number, None)

        return unsubscribe

    def once(self, timeout_s: float = 5.0) -> Snapshot:
        """One look, complete or as far as it came within `timeout_s`. Not together with `start`."""
        return self._tick(timeout_s)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            # A hung GPU may cost the others half an interval once; after that it is not waited for.
            patience = self._first_s if self.latest is None else self.interval_s / 2
            self._publish(self._tick(patience))
            due = max(due + self.interval_s, time.monotonic())
            self._wait(due)

    def _wait(self, due: float) -> None:
        """Until the next tick is due; a GPU that answers for the first time is shown at once."""
        while not self._stop.is_set() and (left := due - time.monotonic()) > 0:
            silent = self._silent()
            if not silent:
                self._stop.wait(left)
                return
            self._take_one(set(silent), min(left, 0.25))
            self._drain()
            if self._silent() != silent:
                self._publish(self._assemble(time.monotonic()))

    def _silent(self) -> set[int]:
        return {worker.index for worker in self._workers if worker.sample is None}

    def _publish(self, snapshot: Snapshot) -> None:
        self.latest = snapshot
        with self._lock:
            readers = tuple(self._subscribers.values())
        for reader in readers:
            try:
                reader(snapshot)
            except Exception:
                # One broken reader must not stop the sampling for the others.
                import logging  # costs 3 ms, which a one-shot command would pay for nothing

                logging.getLogger(__name__).exception("a reader of snapshots failed")

    def _tick(self, patience_s: float) -> Snapshot:
        begun = time.monotonic()
        until = begun + patience_s
        self._drain()
        # Only the first tick waits here: without the number of GPUs there is nothing to show.
        self._follow_driver(max(patience_s, self.deadline_s))
        # Those that are still busy with an earlier tick are not waited for.
        asked = [worker for worker in self._workers if not worker.busy]
        waiting: set[int] = set()
        for worker in asked:
            worker.wake()
            waiting.add(worker.index)
            self._take_one(waiting, _STAGGER_S)
        self._await(waiting, until)
        return self._assemble(begun)

    def _follow_driver(self, patience_s: float) -> None:
        """Make one worker for each GPU that the driver now has."""
        if any(worker.sample and worker.sample.driver_gone for worker in self._workers):
            self._driver.lost(self._generation)
        generation, count = self._driver.state(patience_s)
        if generation != self._generation:
            for worker in self._workers:
                worker.stop()
            # Samples of the old workers go to the old queue, where nobody reads them.
            self._generation, self._workers, self._done = generation, [], SimpleQueue()
        for index in range(len(self._workers), count):
            self._workers.append(
                DeviceWorker(index, self._driver.device, self._collectors, self._done)
            )

    def _await(self, waiting: set[int], until: float) -> None:
        while waiting and not self._stop.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return
            self._take_one(waiting, min(left, 0.25))

    def _take_one(self, waiting: set[int], patience_s: float) -> None:
        try:
            sample = self._done.get(timeout=patience_s)
        except Empty:
            return
        self._workers[sample.index].accept(sample)
        waiting.discard(sample.index)

    def _drain(self) -> None:
        while True:
            try:
                sample = self._done.get_nowait()
            except Empty:
                return
            self._workers[sample.index].accept(sample)

    def _assemble(self, begun: float) -> Snapshot:
        now = time.monotonic()
        devices = tuple(self._device(worker, now) for worker in self._workers)
        held = [
            (device, worker.sample.processes if worker.sample else ())
            for device, worker in zip(devices, self._workers, strict=True)
        ]
        outcomes: list[CollectorOutcome] = []
        for worker in self._workers:
            if worker.sample:
                outcomes.extend(worker.sample.outcomes)
        return Snapshot(
            taken_at=time.time(),
            monotonic=now,
            source=self._source,
            driver=self._driver.facts or DriverFacts(),
            devices=devices,
            processes=merge(held, self._host.processes(pids_of(held))),
            host=self._host.reading(),
            events=self._events.recent,
            collectors=tuple(outcomes),
            duration_seconds=time.monotonic() - begun,
        )

    def _device(self, worker: DeviceWorker, now: float) -> Device:
        sample = worker.sample
        if sample is None:
            since = time.time() - (now - (worker.busy_since or now))
            return Device(unknown_facts(worker.index), DeviceState.STALE, "no answer", since)
        if worker.busy_since is not None and now - worker.busy_since > self.deadline_s:
            return msgspec.structs.replace(
                sample.device, state=DeviceState.STALE, error="no answer", stale_since=sample.at
            )
        return sample.device

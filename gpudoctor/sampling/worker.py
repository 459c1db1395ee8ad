"""One GPU's worker: the only thread that calls into the driver for that GPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from gpudoctor.model.process import DeviceProcess
from gpudoctor.model.readings import DeviceFacts
from gpudoctor.model.snapshot import CollectorOutcome, Device, DeviceState
from gpudoctor.model.values import Value
from gpudoctor.nvml.api import DeviceLostError, DriverGoneError, NvmlCallError, NvmlDevice
from gpudoctor.sampling.collector import Collector

# On a lost GPU only some functions say so, and one that does may be wrong: two make it certain.
LOST_AFTER = 2


class DeviceSample(Value, frozen=True):
    """What one run of a worker found. `driver_gone` asks for NVML to be opened again."""

    index: int
    device: Device
    processes: tuple[DeviceProcess, ...]
    outcomes: tuple[CollectorOutcome, ...]
    at: float
    driver_gone: bool = False


def unknown_facts(index: int) -> DeviceFacts:
    """Stands for a GPU that has not even told its name."""
    return DeviceFacts(uuid=f"unknown:{index}", index=index, name="not answering", pci_bus_id="")


class DeviceWorker:
    """Runs the collectors that are due, each time it is woken, and puts a DeviceSample on `done`."""

    def __init__(
        self,
        index: int,
        open_device: Callable[[int], NvmlDevice],
        collectors: tuple[Collector, ...],
        done: SimpleQueue[DeviceSample],
    ) -> None:
        self.index = index
        self.busy_since: float | None = None
        self.sample: DeviceSample | None = None
        self._open_device = open_device
        self._collectors = collectors
        self._done = done
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._device: NvmlDevice | None = None
        self._facts: DeviceFacts | None = None
        self._values: dict[str, Any] = {}
        self._due: dict[str, float] = {}
        self._outcomes: dict[str, CollectorOutcome] = {}
        # A daemon thread: one that hangs in the driver must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name=f"gpu-{index}", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """True from the wake-up until the sample has been taken off the queue."""
        return self.busy_since is not None

    def wake(self) -> None:
        """Ask for one sample. Only for a worker that is not busy."""
        self.busy_since = time.monotonic()
        self._wake.put(True)

    def stop(self) -> None:
        """Let the thread end after what it is doing."""
        self._wake.put(False)

    def accept(self, sample: DeviceSample) -> None:
        """Take a sample that this worker delivered."""
        self.sample = sample
        self.busy_since = None

    def _run(self) -> None:
        while self._wake.get():
            self._done.put(self._take())

    def _take(self) -> DeviceSample:
        errors: list[NvmlCallError] = []
        if self._facts is None:
            self._read_facts(errors)
        if self._device is not None:
            for item in self._collectors:
                self._collect(item, self._device, errors)
        return self._sample_of(errors)

    def _read_facts(self, errors: list[NvmlCallError]) -> None:
        try:
            self._device = self._open_device(self.index)
            self._facts = self._device.facts()
        except NvmlCallError as error:
            errors.append(error)
        except Exception as error:  # noqa: BLE001 - or this GPU would never be asked again
            errors.append(NvmlCallError("facts", 999, f"{type(error).__name__}: {error}"))

    def _collect(self, item: Collector, device: NvmlDevice, errors: list[NvmlCallError]) -> None:
        begun = time.monotonic()
        if self._due.get(item.name, 0.0) > begun:
            return
        # Half a tick of tolerance, so that a period of 5 s at ticks of 1 s does not become 6 s.
        self._due[item.name] = begun + item.period_s * 0.95
        failure: str | None = None
        try:
            self._values[item.name] = item.read(device)
        except NvmlCallError as error:
            errors.append(error)
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - one broken collector must not stop the others
            failure = f"{type(error).__name__}: {error}"
        if failure is not None:
            self._values.pop(item.name, None)
        uuid = self._facts.uuid if self._facts else f"unknown:{self.index}"
        self._outcomes[item.name] = CollectorOutcome(
            item.name, uuid, failure is None, time.monotonic() - begun, time.time(), failure
        )

    def _sample_of(self, errors: list[NvmlCallError]) -> DeviceSample:
        state, text = _judge(errors, known=self._facts is not None)
        if state is DeviceState.LOST:
            self._values.clear()
            self._due.clear()
        values = dict(self._values)
        processes = values.pop("processes", ())
        device = Device(self._facts or unknown_facts(self.index), state, text, **values)
        return DeviceSample(
            self.index,
            device,
            processes,
            tuple(self._outcomes.values()),
            time.time(),
            any(isinstance(error, DriverGoneError) for error in errors),
        )


def _judge(errors: list[NvmlCallError], *, known: bool) -> tuple[DeviceState, str | None]:
    """The state that the errors of one run speak for, with the text of the one that tells most."""
    if not errors:
        return DeviceState.OK, None
    lost = [error for error in errors if isinstance(error, DeviceLostError)]
    if len(lost) >= LOST_AFTER or (lost and not known):
        return DeviceState.LOST, str(lost[0])
    return DeviceState.FAILED, str(errors[0])

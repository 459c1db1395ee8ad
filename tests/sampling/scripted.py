"""A machine whose GPUs hang, get lost and fail on command, behind the same Protocol as the driver."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gpudoctor.model.process import ProcessFacts
from gpudoctor.model.snapshot import DriverFacts, GpuEvent, HostReading, Snapshot
from gpudoctor.nvml.api import DeviceLostError, DriverGoneError, NvmlCallError
from gpudoctor.nvml.replay import ReplayDevice
from tests.builders import device, snapshot


class ScriptedMachine:
    source = "nvml"

    def __init__(self, count: int = 2) -> None:
        self.shown = snapshot(*(device(index) for index in range(count)))
        self.hang: dict[int, threading.Event] = {}
        self.failing: dict[tuple[int, str], Exception] = {}
        self.gone = False
        self.closed = 0
        self.calls: list[tuple[int, str]] = []
        self.fired: list[GpuEvent] = []

    def now(self) -> Snapshot:
        return self.shown

    def driver(self) -> DriverFacts:
        return self.shown.driver

    def device_count(self) -> int:
        return len(self.shown.devices)

    def device(self, index: int) -> ScriptedDevice:
        return ScriptedDevice(self, index)

    def wait_events(self, timeout_s: float) -> tuple[GpuEvent, ...]:
        fired, self.fired = tuple(self.fired), []
        if not fired:
            threading.Event().wait(min(timeout_s, 0.02))
        return fired

    def close(self) -> None:
        self.closed += 1

    def reading(self) -> HostReading:
        return self.shown.host

    def processes(self, pids: frozenset[int]) -> dict[int, ProcessFacts]:
        return {
            row.pid: ProcessFacts(row.key, row.name or "", row.command, row.user)
            for row in self.shown.processes
            if row.pid in pids and row.visible
        }

    def lose(self, index: int) -> None:
        for name in ("memory", "utilization", "power", "processes"):
            self.failing[index, name] = DeviceLostError(name, 15, "GPU is lost")

    def guard(self, index: int, name: str) -> None:
        self.calls.append((index, name))
        if self.gone:
            raise DriverGoneError(name, 1, "Uninitialized")
        if index in self.hang:
            self.hang[index].wait(30)
        if (index, name) in self.failing:
            raise self.failing[index, name]


class ScriptedDevice(ReplayDevice):
    def __init__(self, machine: ScriptedMachine, index: int) -> None:
        super().__init__(machine, index)  # type: ignore[arg-type]
        self._scripted = machine

    def __getattribute__(self, name: str) -> object:
        found = object.__getattribute__(self, name)
        if name.startswith("_") or not callable(found):
            return found
        machine: ScriptedMachine = object.__getattribute__(self, "_scripted")
        index: int = object.__getattribute__(self, "_index")

        def called() -> object:
            machine.guard(index, name)
            return found()

        return called


def call_error(function: str = "nvmlDeviceGetPowerUsage") -> NvmlCallError:
    return NvmlCallError(function, 999, "Unknown Error")


def until(condition: Callable[[], object], seconds: float = 5.0) -> bool:
    """True as soon as the condition holds, False if it does not within `seconds`."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        pause.wait(0.01)
    return False

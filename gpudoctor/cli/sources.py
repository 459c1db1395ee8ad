"""Opens the machine that a command looks at: the local driver, a recording, or the scripted one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpudoctor.errors import GpuDoctorError
from gpudoctor.host.api import Host
from gpudoctor.model.values import Value
from gpudoctor.nvml.api import Nvml, NvmlUnavailableError

# nvidia-smi itself takes 1.5 s where persistence mode is off; a healthy driver never takes ten.
OPEN_TIMEOUT_S = 10.0


class Machine(Value, frozen=True):
    """An opened machine. `reopen` is there where a driver can go away and come back."""

    nvml: Nvml
    host: Host
    reopen: Callable[[], Nvml] | None = None
    notice: str | None = None


@contextmanager
def open_machine(demo: bool = False, replay: str | None = None) -> Iterator[Machine]:
    """The machine that was asked for.

    Raises:
        NvmlUnavailableError: the local driver cannot be asked.
        GpuDoctorError: the recording cannot be read, or two machines were asked for.
    """
    if demo and replay:
        raise GpuDoctorError("--demo and --replay exclude each other", hint="Give one of them.")
    if demo or replay:
        yield _played(replay)
        return
    machine = _local()
    try:
        yield machine
    finally:
        within(2.0, machine.nvml.close)


def _played(replay: str | None) -> Machine:
    from gpudoctor.nvml.replay import RecordedTimeline, ReplayMachine

    if replay is None:
        from gpudoctor.nvml.demo import DemoTimeline

        machine = ReplayMachine(DemoTimeline())
        return Machine(machine, machine, notice="SIMULATED: this machine is made up (--demo)")
    from pathlib import Path

    from gpudoctor.model.recording import read

    machine = ReplayMachine(RecordedTimeline(read(Path(replay)), time.time()))
    return Machine(machine, machine, notice=f"REPLAY of {replay}")


def _local() -> Machine:
    from gpudoctor.host.procs import LocalHost
    from gpudoctor.nvml.binding import open_nvml

    answer = within(OPEN_TIMEOUT_S, open_nvml)
    if answer is None:
        raise NvmlUnavailableError(
            "the NVIDIA driver does not answer",
            cause=f"nvmlInit did not return within {OPEN_TIMEOUT_S:.0f} s",
            hint="See `dmesg` for Xid or NVRM lines; a GPU that hangs the driver needs a reboot.",
        )
    if answer.device_count() == 0:
        answer.close()
        raise NvmlUnavailableError(
            "the NVIDIA driver is loaded, but it has no GPU",
            cause="nvmlDeviceGetCount answered 0",
            hint="Look for the card with: lspci | grep -i nvidia, and for its errors with: "
            "dmesg | grep -i nvrm",
        )
    return Machine(answer, LocalHost(), open_nvml)


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns, or None if it does not within `seconds`; its thread is then abandoned."""
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, name="with-limit", daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    return result[0] if result else None

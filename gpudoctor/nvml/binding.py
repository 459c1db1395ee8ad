"""The local driver through nvidia-ml-py. Implements Nvml."""

from __future__ import annotations

import contextlib
import threading
import time

import pynvml

from gpudoctor.model.snapshot import DriverFacts, GpuEvent
from gpudoctor.nvml.api import Nvml, NvmlCallError, NvmlUnavailableError
from gpudoctor.nvml.calls import FAILURES, ask, code_of, text_of, translated
from gpudoctor.nvml.device import Device
from gpudoctor.nvml.events import Events

_DEMO = "To see the tool without a GPU: gpudoctor --demo"
# nvmlInit's return value: what it means here, and what to do about it.
_WHY: dict[int, tuple[str, str, str]] = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "there is no NVIDIA driver on this machine",
        "the driver's library libnvidia-ml.so.1 cannot be loaded",
        f"Install the driver; in a container, start it with --gpus all. {_DEMO}",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        "libnvidia-ml.so.1 is there, but the kernel module nvidia does not answer",
        f"Try: sudo modprobe nvidia, then: dmesg | grep -i nvrm. {_DEMO}",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "the NVIDIA driver may not be asked by this user",
        "nvmlInit answered: Insufficient Permissions",
        "Look at: ls -l /dev/nvidiactl; the device nodes must be readable and writable for you.",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA driver and its library are of different versions",
        "nvmlInit answered: Driver/library version mismatch; the driver was updated but not reloaded",
        "Reboot, or reload the kernel modules. Compare: cat /proc/driver/nvidia/version",
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
        "the NVIDIA library is too old",
        "libnvidia-ml.so.1 lacks a function that is needed to begin",
        "Install a driver of the 450 branch or newer.",
    ),
}


def open_nvml() -> Nvml:
    """The local driver, initialised.

    Raises:
        NvmlUnavailableError: there is none, or it does not let us in.
    """
    try:
        pynvml.nvmlInit()
    except FAILURES as error:
        raise _broken_library(error) or _unavailable(code_of(error), str(error)) from error
    driver = Driver()
    try:
        driver.device_count()
    except NvmlCallError as error:
        driver.close()
        raise _unavailable(error.code, error.text) from error
    return driver


def _broken_library(error: BaseException) -> NvmlUnavailableError | None:
    """The error where a library of that name is found and is none that can be loaded."""
    said = error.__context__
    if not isinstance(said, OSError) or str(said).endswith("No such file or directory"):
        return None
    return NvmlUnavailableError(
        "the NVIDIA driver's library cannot be loaded",
        cause=str(said),
        hint="A file of that name stands in front of the driver's, or is damaged. Look at LD_LIBRARY_PATH, "
        f"and at what the loader knows: ldconfig -p | grep libnvidia-ml. {_DEMO}",
        code=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    )


def _unavailable(code: int, text: str) -> NvmlUnavailableError:
    message, cause, hint = _WHY.get(
        code, ("the NVIDIA driver cannot be asked", f"nvmlInit answered: {text}", _DEMO)
    )
    return NvmlUnavailableError(message, cause=cause, hint=hint, code=code)


class Driver:
    """An initialised NVML."""

    source = "nvml"

    def __init__(self) -> None:
        self._events: Events | None = None
        self._events_lock = threading.Lock()
        self._closed = False

    def driver(self) -> DriverFacts:
        """Versions of the driver, of NVML, and of the newest CUDA that the driver supports."""
        cuda = ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
        return DriverFacts(
            text_of(ask(pynvml.nvmlSystemGetDriverVersion)),
            text_of(ask(pynvml.nvmlSystemGetNVMLVersion)),
            None if cuda is None else (cuda // 1000, cuda % 1000 // 10),
        )

    def device_count(self) -> int:
        """The number of GPUs that the driver has.

        Raises:
            NvmlCallError: it cannot be read.
        """
        return ask(pynvml.nvmlDeviceGetCount) or 0

    def device(self, index: int) -> Device:
        """The GPU of this index.

        Raises:
            NvmlCallError: there is none, or it does not answer.
        """
        try:
            return Device(pynvml.nvmlDeviceGetHandleByIndex(index), index)
        except FAILURES as error:
            name = "nvmlDeviceGetHandleByIndex"
            failure = translated(name, error)
            raise failure or NvmlCallError(name, code_of(error), str(error)) from error

    def wait_events(self, timeout_s: float) -> tuple[GpuEvent, ...]:
        """Events since the last call; waits up to `timeout_s` for the first of them."""
        with self._events_lock:
            if self._closed:
                return ()
            if self._events is None:
                self._events = Events(self.device_count())
            events = self._events
        if not events.usable:
            time.sleep(timeout_s)
            return ()
        return events.wait(timeout_s)

    def close(self) -> None:
        """Let go of the driver; handles are void afterwards."""
        self._closed = True
        if self._events is not None:
            self._events.close()
        with contextlib.suppress(*FAILURES):
            pynvml.nvmlShutdown()

"""Asks the CUDA driver to suspend or resume a process. Runs by its path, as a program of its own.

    checkpoint_child.py park|unpark|state|unlock|look PID START_TICKS LOCK_MILLISECONDS

Any of these calls can hang, or take this process down with it. One JSON line says what is about to
be called and one how it went, so that whoever started this knows where it stopped.
"""

import ctypes
import json
import sys
from collections.abc import Callable

RUNNING, LOCKED, CHECKPOINTED = 0, 1, 2
STATES = ("running", "locked", "checkpointed", "failed", "checkpointing", "restoring")
PREFIX = "cuCheckpointProcess"
FUNCTIONS = ("GetState", "Lock", "Checkpoint", "Restore", "Unlock")


class LockArguments(ctypes.Structure):
    """CUcheckpointLockArgs of CUDA 12.8 and newer: 64 bytes."""

    _fields_ = (
        ("timeoutMs", ctypes.c_uint),
        ("reserved0", ctypes.c_uint),
        ("reserved1", ctypes.c_uint64 * 7),
    )


class RefusedError(Exception):
    """Nothing more is to be called; the text says why."""


def say(**values: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def check_identity(pid: int, start_ticks: int) -> None:
    """That `pid` still is the process that was meant, and no thread: the driver takes a thread's too.

    Raises:
        RefusedError: it is not.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 10 ms here
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
            status = file.read()
    except OSError:
        raise RefusedError("gone") from None
    if int(fields[19]) != start_ticks:
        raise RefusedError("reused")
    if b"\nTgid:\t%d\n" % pid not in status:
        raise RefusedError("thread")


class Driver:
    """The checkpoint functions of libcuda.so.1 for one process."""

    def __init__(self, pid: int, start_ticks: int) -> None:
        self._pid = pid
        self._start_ticks = start_ticks
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            say(call="dlopen", error=str(error))
            raise RefusedError("no library") from None

    def function(self, name: str) -> Callable[..., int]:
        """The function, which is not called.

        Raises:
            RefusedError: this driver lacks it.
        """
        function: Callable[..., int] | None = getattr(self._library, PREFIX + name, None)
        if function is None:
            say(call=name, error="this driver has no " + PREFIX + name)
            raise RefusedError("no function")
        return function

    def call(self, name: str, *arguments: object) -> int:
        """Calls one function on the process, whose identity is read right before; CUDA's error code.

        Raises:
            RefusedError: this driver lacks the function, or the process is another by now.
        """
        function = self.function(name)
        check_identity(self._pid, self._start_ticks)
        say(calling=name)
        code = int(function(ctypes.c_int(self._pid), *arguments))
        say(call=name, code=code, name=self._name(code))
        return code

    def state(self) -> int:
        """The process's state, -1 where the driver does not tell it."""
        state = ctypes.c_int(-1)
        code = self.call("GetState", ctypes.byref(state))
        if code != 0:
            return -1
        known = 0 <= state.value < len(STATES)
        say(state=STATES[state.value] if known else str(state.value))
        return state.value

    def initialise(self) -> None:
        """cuInit, which a restore needs where persistence mode is off."""
        say(calling="cuInit")
        code = int(self._library.cuInit(0))
        say(call="cuInit", code=code, name=self._name(code))

    def _name(self, code: int) -> str:
        text = ctypes.c_char_p()
        function = getattr(self._library, "cuGetErrorName", None)
        if function is None or function(code, ctypes.byref(text)) != 0 or not text.value:
            return f"CUDA error {code}"
        return text.value.decode("ascii", "replace")


def park(driver: Driver, lock_ms: int) -> None:
    """Lock, then move all GPU memory to the host; unlocked again where that fails."""
    before = driver.state()
    if before != RUNNING:
        return
    if driver.call("Lock", ctypes.byref(LockArguments(lock_ms))) != 0:
        driver.state()
        return
    driver.call("Checkpoint", None)
    if driver.state() == LOCKED:
        unlock(driver)


def unpark(driver: Driver) -> None:
    """Bring the memory back, then let the process's CUDA calls go on."""
    before = driver.state()
    if before == CHECKPOINTED:
        driver.initialise()
        driver.call("Restore", None)
        before = driver.state()
    if before == LOCKED:
        unlock(driver)


def unlock(driver: Driver) -> None:
    """Let the process's CUDA calls go on."""
    driver.call("Unlock", None)
    driver.state()


def main(arguments: "list[str]") -> None:
    """Does what the arguments say; always ends with a line that says so."""
    action, pid, start_ticks, lock_ms = arguments[0], *map(int, arguments[1:])
    try:
        check_identity(pid, start_ticks)
        driver = Driver(pid, start_ticks)
        if action == "park":
            park(driver, lock_ms)
        elif action == "unpark":
            unpark(driver)
        elif action == "unlock":
            unlock(driver)
        elif action == "look":
            for name in FUNCTIONS:
                driver.function(name)
        else:
            driver.state()
    except RefusedError as why:
        say(refused=str(why))
    say(done=True)


if __name__ == "__main__":
    main(sys.argv[1:])

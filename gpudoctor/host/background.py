"""A call that runs beside others, in a thread that nobody waits for at the end of the program."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Starts `function` at once. A pool's threads would be joined at exit; this one may be left."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._function())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is wanted
            self._error = error

    def result(self, timeout_s: float | None = None) -> T:
        """What the function returned.

        Raises:
            TimeoutError: it has not returned within `timeout_s` seconds.
            BaseException: whatever the function raised.
        """
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        if not self._value:
            raise TimeoutError("no answer in time")
        return self._value[0]

"""How an answer of NVML becomes a value, None or one of our errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import pynvml

from gpudoctor.nvml.api import DeviceLostError, DriverGoneError, NvmlCallError

R = TypeVar("R")

# What a driver answers when it has no such value for this GPU, in this mode or for this user.
NOT_GIVEN = frozenset(
    {
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        21,  # NVML_ERROR_NO_DATA
        25,  # NVML_ERROR_ARGUMENT_VERSION_MISMATCH
        26,  # NVML_ERROR_DEPRECATED
        27,  # NVML_ERROR_NOT_READY
    }
)
GONE = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
MISSING = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
# What the binding raises; its older releases have no class of their own for a library without a function.
FAILURES: tuple[type[Exception], ...] = (
    pynvml.NVMLError,
    getattr(pynvml, "NVMLLibraryMismatchError", pynvml.NVMLError),
)


def code_of(error: Exception) -> int:
    """NVML's return value; a library that lacks a symbol counts as FUNCTION_NOT_FOUND."""
    return int(getattr(error, "value", MISSING))


def translated(function: str, error: Exception) -> NvmlCallError | None:
    """`error` as one of ours; None where it only says that there is no such value."""
    code = code_of(error)
    # Success with an error raised is how the binding reports an empty list of samples.
    if code in NOT_GIVEN or code == pynvml.NVML_SUCCESS:
        return None
    if code == pynvml.NVML_ERROR_GPU_IS_LOST:
        return DeviceLostError(function, code, str(error))
    kind = DriverGoneError if code in GONE else NvmlCallError
    return kind(function, code, str(error))


def ask(function: Callable[..., R], *arguments: Any) -> R | None:
    """What `function` answers, or None where it has no such value.

    Raises:
        NvmlCallError: the call failed in any other way.
    """
    try:
        return function(*arguments)
    except UnicodeDecodeError as error:  # the binding takes every text for UTF-8
        return cast("R", error.object.decode("utf-8", "replace"))
    except FAILURES as error:
        failure = translated(function.__name__, error)
        if failure is None:
            return None
        raise failure from error


class Group:
    """The calls of one reading: it stands as long as one of them answers.

    A lost GPU or a driver that has gone ends it at once.
    """

    __slots__ = ("_answered", "_failure")

    def __init__(self) -> None:
        self._answered = False
        self._failure: NvmlCallError | None = None

    def get(self, function: Callable[..., R], *arguments: Any) -> R | None:
        """What `function` answers; None where there is no such value or the call failed."""
        try:
            value = function(*arguments)
        except UnicodeDecodeError as error:  # as in `ask`
            value = cast("R", error.object.decode("utf-8", "replace"))
        except NvmlCallError as error:  # of a reading that asks several things
            self._fail(error, error)
            return None
        except FAILURES as error:
            self._fail(translated(function.__name__, error), error)
            return None
        self._answered = True
        return value

    def _fail(self, failure: NvmlCallError | None, error: Exception) -> None:
        if isinstance(failure, DeviceLostError | DriverGoneError):
            raise failure from (None if failure is error else error)
        self._failure = self._failure or failure

    def close(self) -> None:
        """Raises the first failure if no call of the group answered."""
        if self._failure is not None and not self._answered:
            raise self._failure


def text_of(value: Any) -> str | None:
    """Text of the binding, which is bytes in its older releases."""
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def ratio(percent: float | None) -> float | None:
    """A percentage as a ratio."""
    return None if percent is None else percent / 100


def scaled(value: float | None, factor: float) -> float | None:
    """`value` times `factor`, or None."""
    return None if value is None else value * factor

"""The registry of collectors: a collector reads one group of values from one GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gpudoctor.model.values import Value
from gpudoctor.nvml.api import NvmlDevice

R = TypeVar("R")


class Collector(Value, frozen=True):
    """`read` gives the value of the field `name` of a Device; it is run every `period_s` seconds."""

    name: str
    period_s: float
    summary: str
    read: Callable[[NvmlDevice], Any]


_REGISTRY: dict[str, Collector] = {}


def collector(
    name: str, *, period_s: float = 0.0
) -> Callable[[Callable[[NvmlDevice], R]], Callable[[NvmlDevice], R]]:
    """Register a function as the collector `name`. A period of 0 means: with every sample.

    The first line of the function's docstring is its summary in the documentation.
    """

    def register(function: Callable[[NvmlDevice], R]) -> Callable[[NvmlDevice], R]:
        if name in _REGISTRY:
            raise ValueError(f"two collectors are named {name}")
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        _REGISTRY[name] = Collector(name, period_s, summary, function)
        return function

    return register


def registered() -> tuple[Collector, ...]:
    """All collectors, in the order of registration, which is the order in which they run."""
    from gpudoctor.sampling import readings

    del readings  # importing it registers what it defines
    return tuple(_REGISTRY.values())

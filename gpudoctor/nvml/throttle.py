"""How long each reason has held the clocks down: counters that the driver itself keeps.

They see what happens between two samples. Field values, because nvmlDeviceGetViolationStatus, which
tells the same, is deprecated.
"""

from __future__ import annotations

import pynvml

from gpudoctor.model.readings import ThrottleReading
from gpudoctor.nvml import fields
from gpudoctor.nvml.calls import ask, text_of

_NANOSECOND = 1e-9
_ALWAYS = {
    "sw_power_cap_seconds": 74,
    "sync_boost_seconds": 76,
    "board_limit_seconds": 77,
    "low_utilization_seconds": 78,
    "reliability_seconds": 79,
}
_THERMAL = {"thermal_seconds": 75}
_SPLIT = ("sw_thermal_seconds", "hw_thermal_seconds", "hw_power_brake_seconds")
# The ids of these three were given to something else in the branches before and after.
_SPLIT_SINCE = ((580, 269), (575, 251))


class Throttle:
    """One GPU's counters. Which ids they have depends on the driver, and is found out once."""

    def __init__(self, handle: object) -> None:
        self._handle = handle
        self._ids: dict[str, int] | None = None

    def read(self) -> ThrottleReading:
        """Seconds since the driver was loaded; None for what this GPU does not count.

        Raises:
            NvmlCallError: the driver failed.
        """
        if self._ids is None:
            self._ids = ids_of(text_of(ask(pynvml.nvmlSystemGetDriverVersion)))
        values = fields.values_of(self._handle, tuple(self._ids.values()))
        found = {
            name: values[field] * _NANOSECOND
            for name, field in self._ids.items()
            if field in values
        }
        if "sw_thermal_seconds" in found or "hw_thermal_seconds" in found:
            # Both parts and their sum would count the same time twice.
            found.pop("thermal_seconds", None)
        return ThrottleReading(**found)


def ids_of(driver: str | None) -> dict[str, int]:
    """The field ids of the counters in this driver."""
    branch = (driver or "").partition(".")[0]
    number = int(branch) if branch.isascii() and branch.isdigit() else 0
    for since, first in _SPLIT_SINCE:
        if number >= since:
            split = {name: first + position for position, name in enumerate(_SPLIT)}
            return _ALWAYS | _THERMAL | split
    return _ALWAYS | _THERMAL

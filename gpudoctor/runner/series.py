"""A row of times that stays bounded in memory however long the run is."""

from __future__ import annotations

import time
from array import array
from typing import Any, Dict, List


class Steps:
    """The moments at which steps ended, less the time for which the runner itself held the script up."""

    def __init__(self, most: int = 100_000) -> None:
        self.count = 0
        self.held_up = 0.0
        self._ends = array("d")
        self._most = most

    def add(self) -> None:
        """A step ends now."""
        self.count += 1
        if len(self._ends) < self._most:
            self._ends.append(time.perf_counter() - self.held_up)
        else:
            self._ends[-1] = time.perf_counter() - self.held_up

    def last_seconds(self, most: int = 16) -> List[float]:
        """The lengths of the last steps, in seconds."""
        ends = self._ends[-most - 1 :]
        return [after - before for before, after in zip(ends, ends[1:])]

    def span(self) -> float:
        """Seconds from the end of the first step to that of the last."""
        return self._ends[-1] - self._ends[0] if len(self._ends) > 1 else 0.0

    def as_dict(self) -> Dict[str, Any]:
        """The count, the span, and the lengths of the first steps (bounded)."""
        ends = self._ends if self.count == len(self._ends) else self._ends[:-1]
        lengths = [round(after - before, 7) for before, after in zip(ends, ends[1:])]
        return {"count": self.count, "span_seconds": self.span(), "seconds": lengths}

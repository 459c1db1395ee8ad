"""How often the daemon looks: as it was told, and more often for a while where somebody watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qsl

# No client makes it faster than this, however many ask.
FASTEST_S = 1.0
# A client that has left is forgotten after this.
LASTS_S = 10.0


class Pace:
    """`usual_s` seconds between samples, fewer while somebody asks for that. For any thread."""

    def __init__(self, usual_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.usual_s = usual_s
        self._clock = clock
        # Replaced as a whole, so that no lock is needed.
        self._asked: tuple[float, float] = (usual_s, float("-inf"))

    def ask(self, every_s: float) -> None:
        """Look every `every_s` seconds for a while; whoever wants it slower than others does not get it."""
        wanted, until = self._asked
        at = self._clock()
        every_s = max(FASTEST_S, every_s)
        self._asked = (every_s if at > until else min(wanted, every_s), at + LASTS_S)

    def now(self) -> float:
        """The seconds between samples now."""
        wanted, until = self._asked
        return min(self.usual_s, wanted) if self._clock() <= until else self.usual_s


def parse_pace(query: str) -> float | None:
    """The seconds in `pace=SECONDS`, None without a query.

    Raises:
        ValueError: it says something else.
    """
    if not query:
        return None
    told = parse_qsl(query, keep_blank_values=True, max_num_fields=2)
    if [name for name, _ in told] != ["pace"]:
        raise ValueError("known is: pace")
    try:
        seconds = float(told[0][1])
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise ValueError("pace is a number of seconds from 0.1 to 3600")
    return seconds

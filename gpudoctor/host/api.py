"""What gpudoctor asks of the operating system; a recording answers the same questions."""

from __future__ import annotations

from typing import Protocol

from gpudoctor.model.process import ProcessFacts
from gpudoctor.model.snapshot import HostReading


class Host(Protocol):
    """The machine around the GPUs."""

    def reading(self) -> HostReading: ...

    def processes(self, pids: frozenset[int]) -> dict[int, ProcessFacts]:
        """Facts of those of `pids` that exist in our namespace."""
        ...

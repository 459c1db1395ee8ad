"""What resetting a GPU would interrupt and needs, and what became of it."""

from __future__ import annotations

from enum import StrEnum

from gpudoctor.model.condition import Condition
from gpudoctor.model.values import Value


class ResetOutcome(StrEnum):
    """How it went.

    CHECKED: only looked at. REFUSED: a condition stands in the way; nothing was run. RESET: done, and
    the GPU answers and is empty. NOT_RESET: nvidia-smi refused or failed; the GPU is as it was.
    HUNG: nvidia-smi did not end in time. SICK: nvidia-smi reports success, yet the GPU does not
    answer, or still asks for a recovery.
    """

    CHECKED = "checked"
    REFUSED = "refused"
    RESET = "reset"
    NOT_RESET = "not reset"
    HUNG = "hung"
    SICK = "sick"


class Interrupted(Value, frozen=True):
    """A process that has a GPU open which is to be reset. `listed` by the driver, or seen by its files."""

    pid: int
    name: str
    gpus: tuple[int, ...]
    command: tuple[str, ...] = ()
    user: str | None = None
    memory_used_bytes: int | None = None
    listed: bool = True
    visible: bool = True  # its pid is one that we can reach
    daemon: str | None = None  # one of the machine's own, and how it is stopped


class ResetTarget(Value, frozen=True):
    """A GPU that is reset, also those that must be reset together with the one that was named."""

    index: int
    uuid: str
    name: str
    pci_bus_id: str


class ResetReport(Value, frozen=True):
    """The whole of one `gpudoctor reset`. `commands` in the order in which they are, or would be, run."""

    targets: tuple[ResetTarget, ...]
    conditions: tuple[Condition, ...]
    interrupts: tuple[Interrupted, ...]
    commands: tuple[str, ...]
    outcome: ResetOutcome
    seconds: float | None = None
    detail: str | None = None
    hint: str | None = None
    output: str | None = None

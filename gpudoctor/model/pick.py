"""Which GPUs are free enough, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a GPU must offer. `idle` means: nobody's process on it."""

    count: int = 1
    free_bytes: int | None = None
    busy_ratio: float | None = None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A GPU over all looks: the least memory that was free and the most that it was busy.

    `pci_index` is its number under CUDA_DEVICE_ORDER=PCI_BUS_ID; `reasons` say why it is not taken,
    none where it could be.
    """

    index: int
    pci_index: int
    uuid: str
    name: str
    free_bytes: int | None
    busy_ratio: float | None
    processes: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """The choice. `value` is for CUDA_VISIBLE_DEVICES, None where there are not enough GPUs."""

    value: str | None
    picked: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    looks: int
    seconds: float

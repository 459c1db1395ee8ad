"""Which GPU stands behind each CUDA ordinal, and what each token of the variable did."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Standing(StrEnum):
    """How well a rule is known: NVIDIA wrote it, somebody ran it and published it, or neither."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    UNVERIFIED = "unverified"

    @property
    def rank(self) -> int:
        """0 for what is least certain."""
        return (Standing.UNVERIFIED, Standing.OBSERVED, Standing.DOCUMENTED).index(self)


class TokenOutcome(StrEnum):
    """What became of a token. EMPTIES: for its sake no GPU at all is visible."""

    SELECTED = "selected"
    DROPPED = "dropped"
    ENDS = "ends the list"
    EMPTIES = "empties the list"
    NOT_READ = "not read"


@dataclass(frozen=True, slots=True)
class Token:
    """One element of CUDA_VISIBLE_DEVICES as it is written, with the GPU that it led to."""

    text: str
    outcome: TokenOutcome
    reason: str
    standing: Standing
    ordinal: int | None = None
    nvml_index: int | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class VisibleDevice:
    """A device that CUDA enumerates. `uuid` is the MIG instance's where it is one.

    `ordinal` is None where the GPU is known and its place in the order is not.
    """

    ordinal: int | None
    nvml_index: int | None
    uuid: str
    pci_bus_id: str | None = None
    name: str | None = None
    parent_uuid: str | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None


@dataclass(frozen=True, slots=True)
class Visibility:
    """The answer. `source` says who gives it: "rules", "driver" (libcuda asked in a child),
    "torch" (the same through torch) or "nvml" (the GPUs that a process really uses).

    `standing` is that of the weakest rule that was needed; a driver's answer is no rule.
    `expected` is what the rules say where the source is another one and disagrees.
    """

    visible: tuple[VisibleDevice, ...]
    tokens: tuple[Token, ...]
    value: str | None
    device_order: str
    source: str = "rules"
    standing: Standing | None = Standing.DOCUMENTED
    expected: tuple[VisibleDevice, ...] | None = None
    notes: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

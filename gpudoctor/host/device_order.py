"""The order in which CUDA counts GPUs, and which GPUs a container was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpudoctor.model.environment import GpuRow
from gpudoctor.model.visible import Standing

PCI = "PCI_BUS_ID"
FASTEST = "FASTEST_FIRST"
_MIXED = (
    "The GPUs differ, and CUDA counts the fastest first by a heuristic that NVIDIA does not publish: "
    "the order shown is an estimate (unverified). CUDA_DEVICE_ORDER=PCI_BUS_ID gives nvidia-smi's."
)


@dataclass(frozen=True, slots=True)
class Order:
    """GPUs as CUDA counts them, and how sure that is."""

    gpus: tuple[GpuRow, ...]
    name: str
    standing: Standing
    notes: tuple[str, ...] = ()


def cuda_order(gpus: Sequence[GpuRow], asked: str | None) -> Order:
    """The order for a value of CUDA_DEVICE_ORDER; unset means FASTEST_FIRST."""
    by_bus = tuple(sorted(gpus, key=_bus))
    if asked == PCI:
        return Order(by_bus, PCI, Standing.DOCUMENTED)
    notes: tuple[str, ...] = ()
    standing = Standing.DOCUMENTED
    if asked not in (None, FASTEST):
        notes = (f"CUDA_DEVICE_ORDER={asked} is neither {PCI} nor {FASTEST}: read as unset.",)
        standing = Standing.UNVERIFIED
    if len({gpu.facts.name for gpu in gpus}) < 2:
        return Order(by_bus, FASTEST, standing, notes)
    fastest = tuple(sorted(by_bus, key=_speed, reverse=True))
    return Order(fastest, FASTEST, Standing.UNVERIFIED, (*notes, _MIXED))


def _bus(gpu: GpuRow) -> tuple[str, int]:
    # The domain may have 4 or 8 digits.
    return gpu.facts.pci_bus_id.lower().rjust(16, "0"), gpu.facts.index


def _speed(gpu: GpuRow) -> tuple[float, tuple[int, int]]:
    facts = gpu.facts
    cores, clock = facts.cuda_cores or 0, facts.sm_clock_max_hertz or 0.0
    return cores * clock, facts.compute_capability or (0, 0)


def given_to_container(value: str | None, gpus: Sequence[GpuRow]) -> tuple[GpuRow, ...]:
    """The GPUs that the NVIDIA container toolkit injects for a value of NVIDIA_VISIBLE_DEVICES.

    Only for a container that was made by this variable: base images set it where it has no effect,
    and CDI sets `void`.
    """
    if value is None or value.strip() in ("", "void", "none"):
        return ()
    if value.strip() == "all":
        return tuple(gpus)
    words = [word.strip() for word in value.split(",")]
    return tuple(gpu for gpu in gpus if str(gpu.facts.index) in words or gpu.facts.uuid in words)

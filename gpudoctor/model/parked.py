"""A process whose GPU memory lies in host memory."""

from __future__ import annotations

from gpudoctor.model.values import Value


class Share(Value, frozen=True):
    """What a process held of one GPU when it was parked."""

    index: int
    uuid: str
    memory_used_bytes: int | None = None


class Parked(Value, frozen=True):
    """A process that was parked. `start_ticks` (field 22 of its stat) and `boot_id` are its identity.

    `parked_at` is in seconds since the epoch. `confirmed` is False from before the driver is asked
    until it has answered, so that a crash in between leaves a trace.
    """

    pid: int
    start_ticks: int
    boot_id: str
    name: str
    command: tuple[str, ...] = ()
    user: str | None = None
    uid: int | None = None
    gpus: tuple[Share, ...] = ()
    memory_used_bytes: int | None = None
    parked_at: float = 0.0
    confirmed: bool = False
